"""Where the unfinished tasks of a queue stand, in plain Python; see `model`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Id = bytes
Token = bytes
NEW: Token = b""
"""The batch of the latest take, until `name_batch` says what its worker called it."""

LATER = float("inf")


@dataclass(eq=False)
class Task:
    """
    - limited - it has a deadline; overdue - which has passed.
    - alone, in_company - crashes of workers that held it.
    - weight - 1 again when somebody deleted the weights.
    - key - None again when somebody deleted the keys.
    """

    data: Any
    priority: int
    limited: bool
    overdue: bool = False
    attempts: int = 0
    alone: int = 0
    in_company: int = 0
    weight: int = 1
    key: str | None = None

    def forget_crashes(self) -> None:
        self.alone = self.in_company = 0


@dataclass(eq=False)
class Batch:
    """
    - ids - those still in it; size - how many there were, which says who was alone.
    - owed - what its worker has not returned yet; empty: it thinks no more of this batch.
    - leased, overdue - the lease is there; it has run out and nobody has noticed.
    """

    worker: int
    ids: list[Id]
    size: int
    owed: dict[Id, None] = field(default_factory=dict)
    leased: bool = True
    overdue: bool = False


class Places:
    """Every unfinished id is in `tasks`, and in one line or batch, unless `lose` took that away."""

    def __init__(self) -> None:
        self.tasks: dict[Id, Task] = {}
        self.pending: list[Id] = []
        self.few: list[Id] = []
        self.alone: list[Id] = []
        self.ranked: list[tuple[int, int, Id]] = []
        self.delayed: dict[Id, float] = {}
        self.batches: dict[Token, Batch] = {}
        self._sequence = 0

    # --- Questions

    def is_running(self, task_id: Id) -> bool:
        return any(b.leased and task_id in b.ids for b in self.batches.values())

    def is_placed(self, task_id: Id) -> bool:
        ranked = {i for _, _, i in self.ranked}
        batched = {i for b in self.batches.values() for i in b.ids}
        lines = (self.pending, self.few, self.alone, self.delayed, ranked, batched)
        return any(task_id in line for line in lines)

    def waits(self) -> bool:
        """Whether an idle worker must be woken."""
        return bool(self.pending or self.few or self.alone or self.ranked)

    # --- Time

    def pass_leases(self, tokens: Iterable[Token]) -> None:
        for token in tokens:
            self.batches[token].overdue = True

    def pass_delays(self) -> None:
        self.delayed = {i: 100 - self.tasks[i].priority for i in self.delayed}

    # --- Damage

    def lose(self, index: str) -> None:
        """Somebody deleted this index."""
        if index == "l":
            for batch in self.batches.values():
                batch.leased = batch.overdue = False
        elif index == "f":
            for task in self.tasks.values():
                task.key = None
        elif index == "h":
            for task in self.tasks.values():
                task.weight = 1
        elif index == "c":
            for task in self.tasks.values():
                task.forget_crashes()
        else:
            lines: dict[str, Any] = {"p": self.pending, "s1": self.few, "s2": self.alone}
            lines |= {"z": self.ranked, "d": self.delayed}
            lines[index].clear()

    def lose_batch(self, token: Token) -> None:
        self.batches[token].ids = []
        self.batches[token].size = 0

    # --- Moves

    def _line_up(self, count: int, max_weight: float) -> list[Id]:
        """Suspects first, with few neighbours or none; then by priority."""
        self._promote()
        first = [i for rank, _, i in self.ranked if rank < 100]
        last = [i for rank, _, i in self.ranked if rank > 100]
        few = max(1, count // 16)
        line = self.alone[:1] or self.few[:few] or [*first, *self.pending, *last][:count]
        sums = itertools.accumulate(self.tasks[i].weight for i in line)
        fitting = sum(1 for _ in itertools.takewhile(max_weight.__ge__, sums))
        taken = line[: max(1, fitting)]
        for task_id in taken:
            self._leave(task_id)
        return taken

    def _promote(self) -> None:
        due = sorted((at, i) for i, at in self.delayed.items() if at < LATER)
        for _, task_id in due:
            del self.delayed[task_id]
            self._stand_in_line(task_id)

    def _stand_in_line(self, task_id: Id) -> None:
        rank = 100 - self.tasks[task_id].priority
        if rank == 100:
            self.pending.append(task_id)
        else:
            self._sequence += 1
            self.ranked.append((rank, self._sequence, task_id))
            self.ranked.sort()

    def _leave(self, task_id: Id) -> None:
        lists = [self.pending, self.few, self.alone, *(b.ids for b in self.batches.values())]
        for ids in lists:
            if task_id in ids:
                ids.remove(task_id)
        self.ranked = [entry for entry in self.ranked if entry[2] != task_id]
        self.delayed.pop(task_id, None)

    def _of(self, worker: int) -> list[Batch]:
        return [batch for batch in self.batches.values() if batch.worker == worker]

    def _remove(self, batch: Batch) -> None:
        self.batches = {t: b for t, b in self.batches.items() if b is not batch}
