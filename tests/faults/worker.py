"""
The worker processes of the faults: `python -m tests.faults.worker JOB`, JOB being a `Job` as JSON.

Every execution is on record in the ledger, and the result of a task names the batch that made it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from task_helpers.exit_codes import DONE
from task_helpers.supervision.signals import StopSignals
from task_helpers.supervision.supervisor import Supervisor
from task_helpers.workers.base import BaseWorker
from tests.faults.ledger import Ledger
from tests.faults.stores import worker_courier


@dataclass(frozen=True, kw_only=True)
class Job:
    """
    - kind, address - of the store, see `stores.Store`.
    - queue, ledger, lease - where and how it works; lease in seconds.
    - processes - children under a supervisor; 0: this process works itself.
    - batch, linger, max_batch_seconds - as in `BaseWorker`.
    - batch_seconds, task_seconds - how long a batch takes: so much, and so much for each task.
    - retry_seconds - as in `CourierOptions`.
    - drain - as in `Supervisor`.
    """

    kind: str
    address: Any
    queue: str
    ledger: str
    lease: float = 2.0
    processes: int = 0
    batch: int = 100
    linger: float = 0.0
    max_batch_seconds: float | None = 3600.0
    batch_seconds: float = 0.0
    task_seconds: float = 0.0
    retry_seconds: float = 10.0
    drain: float = 25.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))


OUT_OF_TIME = "it took too long"


def f(number: int) -> int:
    """What every task is to compute."""
    return number * number + 7


def hold_the_gil(seconds: float) -> None:
    """No other thread of the process runs meanwhile."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def fail_if_late(seconds: float, began: float) -> None:
    """Fails in a process that was stopped for so long since the batch began."""
    if time.monotonic() - began > seconds:
        raise TimeoutError(OUT_OF_TIME)


def eat_memory() -> None:
    """What the kernel does to a process that takes all memory, without the harm to others."""
    os.kill(os.getpid(), signal.SIGKILL)


DEEDS: dict[str, Callable[[Any, float], object]] = {
    "segfault": lambda _, __: ctypes.string_at(0),
    "exit": lambda _, __: os._exit(3),
    "memory": lambda _, __: eat_memory(),
    "deadlock": lambda _, __: threading.Event().wait(),
    "gil": lambda seconds, _: hold_the_gil(seconds),
    "late": fail_if_late,
    "once": lambda deed, began: _once(*deed, began),
}
"""
What a task may do to its worker, by name: its data is {"n": number, "do": [name, argument]}. The
second argument is when the batch began, on `time.monotonic()`.
"""


def _once(mark: str, name: str, argument: Any, began: float) -> None:
    """Only the first execution does it."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    DEEDS[name](argument, began)


class FaultyWorker(BaseWorker):
    job: Job

    def perform_tasks(self, tasks: Any) -> Any:
        token, began = os.urandom(8).hex(), time.monotonic()
        Ledger(Path(self.job.ledger)).note([task_id for task_id, _ in tasks], token)
        time.sleep(self.job.batch_seconds + self.job.task_seconds * len(tasks))
        return [(task_id, [self._answer(data, began), token]) for task_id, data in tasks]

    def _answer(self, data: int | dict[str, Any], began: float) -> int:
        if isinstance(data, int):
            return f(data)
        name, argument = data["do"]
        DEEDS[name](argument, began)
        return f(data["n"])


def make_worker(job: Job) -> FaultyWorker:
    courier = worker_courier(
        job.kind, job.address, lease=job.lease, retry_seconds=job.retry_seconds
    )
    return FaultyWorker(
        courier,
        job=job,
        queue_name=job.queue,
        max_tasks_per_iteration=job.batch,
        linger=job.linger,
        max_batch_seconds=job.max_batch_seconds,
    )


def run(worker: FaultyWorker, signals: StopSignals) -> int:
    with signals:
        try:
            worker.perform()
        except KeyboardInterrupt:
            if not signals.forced:
                raise
            return 128 + signals.received[-1]
    return DONE


def run_child(job: Job, worker_id: bytes) -> int:
    worker = make_worker(job)
    worker.task_courier.worker_id = worker_id
    return run(worker, StopSignals.of_child(worker.stop))


def supervise(job: Job) -> int:
    courier = make_worker(job).task_courier
    return Supervisor(
        lambda worker_id: run_child(job, worker_id),
        lambda dead: courier.reclaim_tasks_of(job.queue, dead.worker_id),
        processes=job.processes,
        drain=job.drain,
    ).run()


def main(text: str) -> int:
    faulthandler.enable()
    logging.basicConfig(format="%(process)d %(levelname)s %(message)s")
    job = Job(**json.loads(text))
    if job.processes:
        return supervise(job)
    worker = make_worker(job)
    return run(worker, StopSignals.of_terminal(worker.stop))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
