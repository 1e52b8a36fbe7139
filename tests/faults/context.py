"""What every family of faults works with: a seed, a folder, servers, worker processes, a queue."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from tests.faults.ledger import Ledger
from tests.faults.oracle import Oracle, Verdict, chunks
from tests.faults.stores import opened
from tests.faults.worker import Job
from tests.support.processes import children
from tests.support.waiting import in_thread, wait_until

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0
"""Seconds after which something that should have happened counts as not happening."""


class WorkerProcess:
    """A `python -m tests.faults.worker` with a process group of its own."""

    def __init__(self, job: Job, log: Path) -> None:
        self.job = job
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker", job.to_json()],
                cwd=ROOT,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.faults.settings"},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def children(self) -> list[int]:
        """Of a supervisor: the worker processes that run now."""
        return children(self.pid)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code."""
        return self._process.wait(seconds)

    def stop(self) -> int:
        """In good order; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """With all that it started. Does nothing when it has ended."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


class Field:
    """
    One queue in one store: adds numbered tasks, starts workers, waits for all results.

    - ledger - who performed what.
    - log - what the workers wrote to stdout and stderr.
    - numbers - the number that each task was given.
    - seen - what the waiters got.
    """

    def __init__(self, server: Any, folder: Path, queue: str, defaults: Any) -> None:
        self.server = server
        self.queue = queue
        self.ledger = Ledger(folder / f"{queue}.ledger")
        self.log = folder / f"{queue}.log"
        self.folder = folder
        self.client = server.courier()
        self.numbers: dict[UUID, int] = {}
        self.seen: dict[UUID, Any] = {}
        self._defaults = defaults
        self._workers: list[WorkerProcess] = []
        self._waiters: list[Future[None]] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self.client.close()

    # --- Tasks

    def add(self, count: int, **options: Any) -> list[UUID]:
        """So many tasks, in chunks of 1,000; the data of each is the next number."""
        task_ids: list[UUID] = []
        for size in _sizes(count, 1000):
            first = len(self.numbers)
            added = self.client.bulk_add_tasks_to_queue(
                self.queue, range(first, first + size), **options
            )
            self.numbers.update(zip(added, range(first, first + size), strict=True))
            task_ids += added
        return task_ids

    def add_deed(self, name: str, argument: Any = None) -> UUID:
        """A task that does something to its worker, see `worker.DEEDS`."""
        number = len(self.numbers)
        data = {"n": number, "do": [name, argument]}
        task_id = self.client.add_task_to_queue(self.queue, data)
        self.numbers[task_id] = number
        return task_id

    def await_results(
        self, task_ids: Iterable[UUID], seconds: float = PATIENCE, part: int = 1000
    ) -> None:
        """
        In threads, from now on; what they get is in `seen`. They leave it to be read again.

        - part - how many each thread waits for.
        """
        for some in chunks(list(task_ids), part):
            self._waiters.append(in_thread(self._await, some, seconds))

    def _await(self, task_ids: list[UUID], seconds: float) -> None:
        results = self.client.bulk_wait_for_task_results(
            self.queue, task_ids, delete_data=False, timeout=seconds, return_exceptions=True
        )
        with self._lock:
            self.seen.update(zip(task_ids, results, strict=True))

    def join(self) -> int:
        """Waits for the waiters; how many of them ended by their timeout."""
        errors = [waiter.exception() for waiter in self._waiters]
        self._waiters.clear()
        for error in errors:
            if error and not isinstance(error, TimeoutError):
                raise error
        return sum(1 for error in errors if error)

    def judge(self) -> Verdict:
        return Oracle(self.server, self.client, self.queue, self.numbers).judge(self.seen)

    # --- Workers

    def start(self, **fields: Any) -> WorkerProcess:
        """See `worker.Job`; it is killed in the end if it runs then."""
        where = {
            "kind": self.server.kind,
            "address": self.server.address,
            "queue": self.queue,
            "ledger": str(self.ledger.path),
        }
        worker = WorkerProcess(Job(**{**where, **self._defaults, **fields}), self.log)
        self._workers.append(worker)
        return worker

    def wait_for_executions(self, count: int, seconds: float = PATIENCE) -> None:
        wait_until(lambda: len(self.ledger) >= count, seconds)

    def logged(self, text: str) -> int:
        """How many lines of the workers' log hold this."""
        if not self.log.exists():
            return 0
        return sum(text in line for line in self.log.read_text(errors="replace").splitlines())


class Context:
    """
    - seed - of all random choices; `random` draws from it.
    - kind - of the stores, see `stores.MODULES`.
    - full - False: as much as a test run may take.
    """

    def __init__(self, seed: int, family: str, kind: str, folder: Path, *, full: bool) -> None:
        self.seed = seed
        self.kind = kind
        self.full = full
        self.random = random.Random(f"{seed} {family}")
        self._folder = folder

    def scaled(self, short: T, full: T) -> T:
        return full if self.full else short

    def limit(self, seconds: float) -> float:
        """What is promised of a calm machine; in a test run others may keep this one busy."""
        return seconds if self.full else 3 * seconds

    def folder(self, name: str) -> Path:
        """A new one."""
        count = sum(1 for _ in self._folder.iterdir())
        folder = self._folder / f"{count}-{name}"
        folder.mkdir()
        return folder

    @contextmanager
    def server(self, **settings: str) -> Iterator[Any]:
        with opened(self.kind, self.folder(self.kind), **settings) as server:
            yield server

    @contextmanager
    def field(self, queue: str = "faults", server: Any = None, **job: Any) -> Iterator[Field]:
        """
        - server - absent: one of its own.
        - job - fields of `worker.Job` for all workers that it starts.
        """
        with ExitStack() as stack:
            server = server or stack.enter_context(self.server())
            field = Field(server, self.folder(queue), queue, job)
            stack.callback(field.close)
            yield field


def _sizes(count: int, most: int) -> Iterator[int]:
    for at in range(0, count, most):
        yield min(most, count - at)
