"""The worker processes of one `runworker` and the supervisor above them."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from signal import Signals

from django.db import connections

from django_task_helpers.management.commands._running import Say, WorkerRun, stopping_text
from task_helpers.exceptions import CourierError, CourierUnavailable
from task_helpers.exit_codes import CUT_SHORT, DONE, RECYCLE
from task_helpers.supervision.process import Child
from task_helpers.supervision.signals import StopSignals
from task_helpers.supervision.supervisor import Supervisor
from task_helpers.workers.base import BaseWorker, Ended, names_begin

logger = logging.getLogger("django_task_helpers.worker")

JITTER = 0.1
"""Workers that started together do not all recycle at once."""

MakeWorker = Callable[[], BaseWorker]


@contextmanager
def sharing_no_connection() -> Iterator[None]:
    """What the parent opens here, no child has that it forks later."""
    try:
        yield
    finally:
        connections.close_all()


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """
    - make_worker - called in each process; its fields have the limits.
    - courier - alias, for the start line.
    - say - where start and stop lines go.
    - processes - how many.
    - drain - seconds to finish the batches at hand.
    - iterations - each process is done after so many batches.
    - max_iterations - each process is replaced after about so many.
    """

    make_worker: MakeWorker
    courier: str
    say: Say
    processes: int
    drain: float
    iterations: int | None = None
    max_iterations: int | None = None

    def run(self) -> int:
        """
        Until all processes are done or stopped; returns the exit code. Raises `CourierError` when
        the store is away at the start.
        """
        worker = self.make_worker()
        with sharing_no_connection():
            self._reach_store(worker)
        supervisor = Supervisor(
            lambda worker_id: self._run_child(worker_id, supervisor.signal_got),
            lambda dead: self._bury(worker, dead),
            processes=self.processes,
            drain=self.drain,
            announce=lambda number: self.say(
                stopping_text(number, worker.queue_name, f", within {self.drain:g} s")
            ),
        )
        return supervisor.run()

    def _reach_store(self, worker: BaseWorker) -> None:
        try:
            worker.task_courier.get_queue_stats(worker.queue_name, patient=False)
        except CourierUnavailable as error:
            self.say(f"Waiting for the store: {error}")
            worker.task_courier.get_queue_stats(worker.queue_name)

    def _bury(self, worker: BaseWorker, dead: Child) -> int:
        """Its tasks go back at once, and its name is listed no more."""
        courier, queue = worker.task_courier, worker.queue_name
        with sharing_no_connection():
            held = courier.reclaim_tasks_of(queue, dead.worker_id)
            with suppress(CourierError):
                for name in courier.get_queue_stats(queue, patient=False).workers:
                    if name.startswith(names_begin(dead.pid)):
                        courier.say_farewell(queue, name)
        return held

    def _run_child(self, worker_id: bytes, passed_on: Callable[[], Signals | None]) -> int:
        worker = self.make_worker()
        worker.task_courier.worker_id = worker_id
        if worker.max_rss is not None:
            worker.max_rss = _jittered(worker.max_rss)
        run = WorkerRun(
            worker,
            iterations=self._iterations(),
            courier=self.courier,
            say=self.say,
            signals=StopSignals.of_child(worker.stop, passed_on),
        )
        try:
            run.perform()
        except Exception:
            if not worker.iterations_performed:
                raise
            logger.exception("Worker process %d failed.", os.getpid())
            return CUT_SHORT
        return self._exit_code(worker, run.signals)

    def _exit_code(self, worker: BaseWorker, signals: StopSignals) -> int:
        """
        A child that somebody else stopped is replaced, unless the supervisor is stopping too. One
        that was cut short is buried: it may not have given its batch back.
        """
        if signals.forced:
            return CUT_SHORT
        return RECYCLE if signals.received or self._is_worn(worker) else DONE

    def _iterations(self) -> int | None:
        if self.max_iterations is None:
            return self.iterations
        return max(1, round(_jittered(self.max_iterations)))

    def _is_worn(self, worker: BaseWorker) -> bool:
        by_iterations = self.max_iterations is not None and worker.ended_by is Ended.ITERATIONS
        return by_iterations or worker.ended_by is Ended.MAX_RSS


def _jittered(number: float) -> float:
    return number * random.uniform(1 - JITTER, 1 + JITTER)
