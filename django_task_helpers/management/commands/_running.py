"""One run of a worker in this process: how it begins, is stopped and reports."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from signal import Signals

from django.utils.autoreload import run_with_reloader

from django_task_helpers.management.commands._reloading import (
    RELOAD_GRACE,
    is_reloaded,
    run_reloaded,
)
from task_helpers.exceptions import CourierError
from task_helpers.plurals import counted
from task_helpers.supervision.signals import StopSignals
from task_helpers.workers.base import BaseWorker, Ended
from task_helpers.workers.base_async import BaseAsyncWorker
from task_helpers.workers.threaded import ThreadedWorker

Say = Callable[[str], None]


class WorkerRun:
    """
    - iterations - see `BaseWorker.perform`.
    - courier - alias, for the start line.
    - say - where the start and the stop line go.
    - signals - how it is asked to stop.
    """

    def __init__(
        self,
        worker: BaseWorker,
        *,
        iterations: int | None,
        courier: str,
        say: Say,
        signals: StopSignals,
    ) -> None:
        self._worker = worker
        self._iterations = iterations
        self._courier = courier
        self._say = say
        self.signals = signals
        self._ended = threading.Event()

    def perform(self) -> int:
        """
        Works until the end and returns the exit code of the process: 0, or
        128 + the number of the second signal. Raises `CourierError` when the store is away at the
        start.
        """
        with self.signals:
            try:
                self._perform()
            except KeyboardInterrupt:
                if not self.signals.forced:
                    raise
        return 128 + self.signals.received[-1] if self.signals.forced else 0

    def perform_reloading(self, complain: Say) -> int:
        """
        Works until the code changes, then lets the process start anew, in which Django's
        reloader has the main thread and the signals. Returns the exit code.

        - complain - what to do with the text of a `CourierError`, and with code that does not load.
        """
        if not is_reloaded():
            return run_reloaded(complain)
        try:
            run_with_reloader(self._perform_in_thread, complain)
        finally:
            self._worker.stop()
            self._ended.wait(RELOAD_GRACE)
        return 0

    def _perform_in_thread(self, complain: Say) -> None:
        try:
            self._perform()
        except CourierError as error:
            complain(str(error))
        finally:
            self._ended.set()

    def _perform(self) -> None:
        worker, began = self._worker, time.monotonic()
        self._say(
            f"Worker {_path(worker)} on queue {worker.queue_name} starts: courier "
            f"{self._courier}, up to {_capacity(worker)}, "
            f"pid {os.getpid()}. Ctrl-C or SIGTERM stops it."
        )
        error: BaseException | None = None
        try:
            worker.perform(total_iterations=self._iterations)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._say(self._farewell(self._cause(error), time.monotonic() - began))

    def _farewell(self, cause: str, seconds: float) -> str:
        worker = self._worker
        tasks = counted(worker.tasks_performed, "task")
        batches = counted(worker.iterations_performed, "batch")
        return (
            f"Worker {_path(worker)} on queue {worker.queue_name} stopped ({cause}): "
            f"{tasks} in {batches}, {seconds:.1f} s, pid {os.getpid()}."
        )

    def _cause(self, error: BaseException | None) -> str:
        got = self.signals.cause
        if got and self.signals.forced:
            return f"{got.name} in the middle of a batch, which goes back to the queue"
        if error is not None:
            return f"{got.name}, then {type(error).__name__}" if got else type(error).__name__
        if got:
            return got.name
        if self._worker.ended_by is Ended.NO_TASK:
            return f"{Ended.NO_TASK}{_left(self._worker)}"
        return str(self._worker.ended_by or "it was told to stop")


def _capacity(worker: BaseWorker) -> str:
    if isinstance(worker, ThreadedWorker) and worker.threads > 1:
        return f"{worker.threads} tasks at the same time"
    batch = f"{counted(worker.max_tasks_per_iteration, 'task')} a batch"
    beside = worker.max_concurrent_batches if isinstance(worker, BaseAsyncWorker) else 1
    if beside == 1:
        return batch
    if worker.max_tasks_per_iteration == 1:
        return f"{beside} tasks at the same time"
    return f"{batch}, {beside} batches at the same time"


def _left(worker: BaseWorker) -> str:
    """What a burst did not wait for, where the store can still be asked."""
    with suppress(CourierError):
        if number := worker.task_courier.get_queue_stats(worker.queue_name, patient=False).delayed:
            return f", {counted(number, 'task')} due later"
    return ""


def _path(worker: BaseWorker) -> str:
    return f"{type(worker).__module__}.{type(worker).__qualname__}"


def stopping_text(number: Signals, queue: str, when: str = "") -> str:
    """What is said at once, since the batch at hand may take its time."""
    return (
        f"{number.name}: the worker on queue {queue} stops after the batch at hand{when}; a second "
        "one (Ctrl-C, SIGTERM) gives it back and stops now."
    )


def write_at_once(text: str) -> None:
    """For handlers of signals, which may interrupt who writes, or who holds the lock of a log."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
