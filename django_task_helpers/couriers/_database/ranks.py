"""The order in which tasks are taken, and how many of a kind at once."""

from __future__ import annotations

from typing import NamedTuple

from task_helpers.couriers.store import CONVICTING_CRASHES

IN_COMPANY, ALONE = 1, 1_000
"""What a crash counts."""

CONVICTED = CONVICTING_CRASHES * ALONE

TAKEN_ALONE, TAKEN_BY_FEW, FIRST = -2, -1, 0
"""The ranks of suspects, and the first of the others."""

FEW = 16
"""A batch of suspects is so many times smaller than another one."""


def rank_of(priority: int) -> int:
    return 100 - priority


class Stage(NamedTuple):
    """Tasks that may be taken together: of these ranks, so many at once."""

    ranks: tuple[int, int]
    most: int


def stage_of(rank: int, max_count: int) -> Stage:
    """Where the first in line has that rank."""
    if rank == TAKEN_ALONE:
        return Stage((TAKEN_ALONE, TAKEN_ALONE), 1)
    if rank == TAKEN_BY_FEW:
        return Stage((TAKEN_BY_FEW, TAKEN_BY_FEW), max(1, max_count // FEW))
    return Stage((FIRST, rank_of(-100)), max_count)
