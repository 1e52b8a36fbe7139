"""How long the tasks of a killed worker waited for another one, read from the ledger."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

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


def recoveries(ledger: Ledger, kills: Iterable[Kill]) -> list[Recovery]:
    """Of the kills that hit a batch."""
    executions = ledger.executions()
    by_task, by_pid = defaultdict[object, list[Execution]](list), dict[int, list[Execution]]()
    for execution in executions:
        by_task[execution.task_id].append(execution)
        by_pid.setdefault(execution.pid, []).append(execution)
    found = []
    for kill in kills:
        batch = _batch_at_hand(by_pid.get(kill.pid, []))
        again = [[e.at for e in by_task[one.task_id] if e.at > kill.at] for one in batch]
        waits = [(min(later) - kill.at) / 1e9 for later in again if later]
        if waits:
            found.append(Recovery(min(waits), max(waits), len(waits)))
    return found


def _batch_at_hand(of_worker: list[Execution]) -> list[Execution]:
    """What it was performing when it died, or had just performed."""
    return [e for e in of_worker if e.token == of_worker[-1].token]
