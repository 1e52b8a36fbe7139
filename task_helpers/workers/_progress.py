"""Writes what running tasks say of their progress, without holding them up."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from uuid import UUID

from task_helpers.couriers.base import WorkerTaskCourier
from task_helpers.exceptions import CourierError
from task_helpers.progress import Progress

logger = logging.getLogger("task_helpers.workers")

PAUSE = 0.3
"""Seconds between two writes: a task that says more in between is heard with its last word."""


class ProgressWriter:
    """
    Takes words at any rate and from any thread, and writes the last one of each task, those of all
    tasks together. Its thread lives only while there is something to write.

    It has no lock: whoever says something may be interrupted at any line, by the time limit of its
    function. If that makes two writers of one, it does no harm.
    """

    def __init__(self, courier: WorkerTaskCourier) -> None:
        self._courier = courier
        self._said: dict[UUID, Progress] = {}
        self._writer: threading.Thread | None = None

    def say(self, queue_name: str, task_id: UUID, progress: Progress) -> None:
        self._said[task_id] = progress
        writer = self._writer
        if writer is None or not writer.is_alive():
            with suppress(RuntimeError):  # no thread to be had now: the next word tries again
                self._writer = self._start(queue_name)

    def _start(self, queue_name: str) -> threading.Thread:
        name, arguments = f"task_helpers progress {queue_name}", (queue_name,)
        writer = threading.Thread(target=self._run, args=arguments, name=name, daemon=True)
        writer.start()
        return writer

    def _run(self, queue_name: str) -> None:
        while said := self._take():
            try:
                self._courier.set_progress(queue_name, said)
            except CourierError as error:
                logger.info("The progress of tasks in queue %s is not kept: %s", queue_name, error)
            except Exception:
                logger.exception("The progress of tasks in queue %s is not kept.", queue_name)
            time.sleep(PAUSE)
        self._courier.leave_thread()

    def _take(self) -> dict[UUID, Progress]:
        """Empty: the thread ends, and the next word starts another."""
        if not self._said:
            self._writer = None  # and then looks again: who spoke just before saw a writer
        words = {task_id: self._said.pop(task_id, None) for task_id in list(self._said)}
        return {task_id: word for task_id, word in words.items() if word}
