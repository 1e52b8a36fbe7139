"""
How large the next batch may be and how long it may fill, learnt from those before it. Pure:
moments are arguments. Why so: decision 0010.
"""

from __future__ import annotations

import math
from typing import NamedTuple

FORGETTING = 0.9
"""What a batch still counts when the next one is done: about the last ten matter."""

RIDGE = 0.01
"""Where all batches are of one size, this share of them makes the fixed cost 0."""

GROWTH = 2
"""How many times as large as the largest of late a batch may be: further out nothing is known."""

OVERHEAD = 0.02
"""The share of a batch's time that its fixed cost may have: larger ones get hardly more done."""


class Plan(NamedTuple):
    """
    For the next batch.

    - max_count - most tasks.
    - linger - how long (seconds) the oldest may wait for more.
    - patience - seconds without a task after which the plan is of no use any more.
    """

    max_count: int
    linger: float
    patience: float = math.inf


class Pacing:
    """The last batches of one worker, and what follows from them."""

    def __init__(self) -> None:
        self._cost = Cost()
        self._largest = 0.0
        self._planned, self._enough = 1, 1
        self._tasks = self._seconds = 0.0
        self._begun: float | None = None
        self._ended = 0.0

    def note(self, count: int, begun: float, ended: float) -> None:
        """A batch of so many tasks was taken and returned at these moments."""
        self._cost.note(count, ended - begun)
        self._largest = max(count, FORGETTING * self._largest)
        self._enough = GROWTH * count if count >= self._planned else count
        if self._begun is not None:
            self._tasks = FORGETTING * self._tasks + count
            self._seconds = FORGETTING * self._seconds + begun - self._begun
        self._begun, self._ended = begun, ended

    def plan(self, max_count: int, target: float, moment: float) -> Plan:
        """
        For results within `target` seconds. A task may just miss a batch, or wait for its own to
        fill: that may take half of the target, and its own batch the other half. A full batch left
        tasks behind, so that the target is missed anyway: then larger ones come, if that gets more
        done.
        """
        per_task, fixed = self._cost.line()
        budget = max(target / 2, 2 * fixed) - fixed
        fits = budget / per_task if per_task else math.inf
        worth = fixed / per_task / OVERHEAD if per_task and self._cost.is_told_apart() else math.inf
        wanted = max(fits, min(self._enough, worth))
        self._planned = count = int(max(1, min(wanted, GROWTH * self._largest, max_count)))
        idle = moment - self._ended
        if idle < fixed and self._tasks * fixed >= self._seconds:
            return Plan(count, min(fixed, target / 2), fixed - idle)
        return Plan(count, 0)


class Cost:
    """A batch of n tasks takes about per_task * n + fixed seconds: least squares over the last."""

    def __init__(self) -> None:
        self._sums = [0.0] * 5

    def note(self, count: int, seconds: float) -> None:
        new = (1, count, count * count, seconds, count * seconds)
        self._sums = [FORGETTING * old + one for old, one in zip(self._sums, new, strict=True)]

    def is_told_apart(self) -> bool:
        """Whether the sizes differ, so that the line says more than the cost of that size."""
        one, n, nn, *_ = self._sums
        return one * nn - n * n > RIDGE * one * nn

    def line(self) -> tuple[float, float]:
        """(per_task, fixed), neither below 0; zeros before the first batch."""
        one, n, nn, d, nd = self._sums
        if not one:
            return 0, 0
        held = one * (1 + RIDGE)
        determinant = held * nn - n * n
        per_task, fixed = (held * nd - n * d) / determinant, (nn * d - n * nd) / determinant
        if fixed <= 0:
            return nd / nn, 0
        return (per_task, fixed) if per_task > 0 else (0, d / one)
