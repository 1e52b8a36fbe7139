"""One run of a worker in this process: how it begins, is stopped and reports."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from django.utils.autoreload import DJANGO_AUTORELOAD_ENV, run_with_reloader

from task_helpers.exceptions import CourierError
from task_helpers.workers.base import BaseWorker

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

RELOAD_GRACE = 10.0
"""Seconds that a batch may take to end before the reloader ends it."""

Say = Callable[[str], None]


class StopSignals:
    """
    The first signal stops the worker after the batch at hand. The second raises
    `KeyboardInterrupt` in the main thread, on which a worker gives its batch back; further ones
    must not disturb it in that.
    """

    def __init__(self, worker: BaseWorker) -> None:
        self._worker = worker
        self.received: list[signal.Signals] = []

    @property
    def forced(self) -> bool:
        return len(self.received) > 1

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Only the main thread can; elsewhere, as in a test, the signals are somebody else's."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received.append(signal.Signals(number))
        if len(self.received) == 1:
            self._worker.stop()
        elif len(self.received) == 2:
            raise KeyboardInterrupt


class WorkerRun:
    """
    - iterations - see `BaseWorker.perform`.
    - courier - alias, for the start line.
    - say - where the start and the stop line go.
    """

    def __init__(
        self, worker: BaseWorker, *, iterations: int | None, courier: str, say: Say
    ) -> None:
        self._worker = worker
        self._iterations = iterations
        self._courier = courier
        self._say = say
        self._signals = StopSignals(worker)
        self._ended = threading.Event()

    def perform(self) -> int:
        """
        Works until the end and returns the exit code of the process: 0, or
        128 + the number of the second signal. Raises `CourierError` when the store is away at the
        start.
        """
        with self._signals.handled():
            try:
                self._perform()
            except KeyboardInterrupt:
                if not self._signals.forced:
                    raise
        return 128 + self._signals.received[1] if self._signals.forced else 0

    def perform_reloading(self, complain: Say) -> None:
        """
        Works until the code changes, then lets the process start anew, in which Django's
        reloader has the main thread and the signals.

        - complain - what to do with the text of a `CourierError`.
        """
        try:
            run_with_reloader(self._perform_in_thread, complain)
        finally:
            if os.environ.get(DJANGO_AUTORELOAD_ENV) == "true":
                self._worker.stop()
                self._ended.wait(RELOAD_GRACE)

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
            f"{self._courier}, up to {worker.max_tasks_per_iteration} tasks a batch, "
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
        return (
            f"Worker {_path(worker)} on queue {worker.queue_name} stopped ({cause}): "
            f"{worker.tasks_performed} tasks in {worker.iterations_performed} batches, "
            f"{seconds:.1f} s, pid {os.getpid()}."
        )

    def _cause(self, error: BaseException | None) -> str:
        worker, received = self._worker, self._signals.received
        if self._signals.forced:
            return f"{received[1].name} in the middle of a batch, which was given back"
        if error is not None:
            return type(error).__name__
        if received:
            return received[0].name
        if worker.max_tasks is not None and worker.tasks_performed >= worker.max_tasks:
            return f"{worker.max_tasks} tasks are done"
        if self._iterations is not None and worker.iterations_performed >= self._iterations:
            return f"{self._iterations} iterations are done"
        return "the queue is empty" if worker.burst else "it was told to stop"


def _path(worker: BaseWorker) -> str:
    return f"{type(worker).__module__}.{type(worker).__qualname__}"
