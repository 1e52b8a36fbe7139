"""The batches that a worker holds, for the thread that renews their leases."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from uuid import UUID


class Held:
    """A batch is known by its first task; there may be several at the same time."""

    def __init__(self) -> None:
        self._batches: dict[UUID, Sequence[UUID]] = {}
        self._begun: dict[UUID, float] = {}  # those that are performed, and since when

    def begins(self, task_ids: Sequence[UUID]) -> None:
        """A batch is performed from now on."""
        self._batches[task_ids[0]] = task_ids
        self._begun[task_ids[0]] = time.monotonic()

    def waits(self, task_ids: Sequence[UUID]) -> None:
        """Performed or not yet, it may wait for the store or its turn: it is not stuck."""
        self._batches[task_ids[0]] = task_ids
        self._begun.pop(task_ids[0], None)

    def ends(self, task_ids: Sequence[UUID]) -> None:
        """What is not performed any more is not renewed any more, however it ended."""
        self._batches.pop(task_ids[0], None)
        self._begun.pop(task_ids[0], None)

    def task_ids(self) -> list[UUID]:
        """Those of all batches."""
        return [task_id for batch in self._batches.copy().values() for task_id in batch]

    def longest(self) -> float:
        """For how many seconds a batch is being performed by now; below 0: none is."""
        return time.monotonic() - min(self._begun.copy().values(), default=math.inf)
