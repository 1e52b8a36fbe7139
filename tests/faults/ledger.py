"""Who performed which task when: a file that many processes append to, and nobody rewrites."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

LINE = "{:32} {:16} {:10d} {:20d}\n"
LINE_BYTES = len(LINE.format("", "", 0, 0))


class Execution(NamedTuple):
    """
    - token - the batch, as its worker named it.
    - at - when it began, ns on `time.monotonic_ns()`, which all processes of a host share.
    """

    task_id: UUID
    token: str
    pid: int
    at: int


class Ledger:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()

    def note(self, task_ids: Iterable[UUID], token: str) -> None:
        """One write, so that lines of different processes do not mix."""
        pid, now = os.getpid(), time.monotonic_ns()
        lines = "".join(LINE.format(task_id.hex, token, pid, now) for task_id in task_ids)
        file = os.open(self.path, os.O_APPEND | os.O_WRONLY)
        os.write(file, lines.encode())
        os.close(file)

    def __len__(self) -> int:
        return self.path.stat().st_size // LINE_BYTES

    def executions(self, start: int = 0) -> list[Execution]:
        """In the order in which they were noted, from that one on, without half a line."""
        with self.path.open("rb") as file:
            file.seek(start * LINE_BYTES)
            noted = file.read()
        lines = noted[: len(noted) // LINE_BYTES * LINE_BYTES].decode().splitlines()
        fields = (line.split() for line in lines)
        return [
            Execution(UUID(task_id), token, int(pid), int(at)) for task_id, token, pid, at in fields
        ]

    def counts(self) -> Counter[UUID]:
        """How often each task was performed."""
        return Counter(execution.task_id for execution in self.executions())

    def duplicates(self) -> int:
        """Executions beyond the first of each task."""
        return sum(count - 1 for count in self.counts().values())

    def by_task(self) -> dict[UUID, list[Execution]]:
        tasks = defaultdict[UUID, list[Execution]](list)
        for execution in self.executions():
            tasks[execution.task_id].append(execution)
        return tasks
