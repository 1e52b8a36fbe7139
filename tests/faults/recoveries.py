"""What kills did to the tasks that their workers held, read from the ledger."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from tests.faults.ledger import Execution, Ledger


class Kill(NamedTuple):
    """When a process was killed, on `time.monotonic_ns()`."""

    pid: int
    at: int

    @classmethod
    def now(cls, pid: int) -> Kill:
        return cls(pid, time.monotonic_ns())


class Recovery(NamedTuple):
    """
    Seconds from the kill to when the first and the last task of the batch was begun again, and how
    many tasks these were.
    """

    first: float
    last: float
    tasks: int


class Inquest:
    def __init__(self, ledger: Ledger, kills: Iterable[Kill]) -> None:
        self._kills = list(kills)
        self._by_task = defaultdict[UUID, list[Execution]](list)
        self._by_pid = defaultdict[int, list[Execution]](list)
        for execution in ledger.executions():
            self._by_task[execution.task_id].append(execution)
            self._by_pid[execution.pid].append(execution)

    def recoveries(self) -> list[Recovery]:
        """Of the kills that hit a batch."""
        found = (self._recovery(kill) for kill in self._kills)
        return [recovery for recovery in found if recovery]

    def unexplained(self) -> int:
        """Executions beyond one per task and one per kill of a worker that held it."""
        excused = Counter(task for kill in self._kills for task in self._at_hand(kill.pid))
        return sum(
            max(0, len(executions) - 1 - excused[task])
            for task, executions in self._by_task.items()
        )

    def _recovery(self, kill: Kill) -> Recovery | None:
        tasks = self._at_hand(kill.pid)
        again = [[e.at for e in self._by_task[task] if e.at > kill.at] for task in tasks]
        waits = [(min(later) - kill.at) / 1e9 for later in again if later]
        return Recovery(min(waits), max(waits), len(waits)) if waits else None

    def _at_hand(self, pid: int) -> list[UUID]:
        """What it was performing when it died, or had just performed."""
        executions = self._by_pid.get(pid, [])
        return [e.task_id for e in executions if e.token == executions[-1].token]
