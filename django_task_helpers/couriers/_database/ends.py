"""The end of one task: here each is a row of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from task_helpers.couriers.parcels import Ends, Way


class End(NamedTuple):
    """See `Ends`."""

    way: Way
    task_id: bytes
    outcome: bytes
    channel: bytes


def one_by_one(ends: Sequence[Ends]) -> list[End]:
    return [End(way, *row) for way, *columns in ends for row in zip(*columns, strict=True)]
