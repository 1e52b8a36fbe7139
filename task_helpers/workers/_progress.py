"""Writes what running tasks say of their progress, without holding them up."""

from __future__ import annotations

import logging
import threading
import time
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
    """

    def __init__(self, courier: WorkerTaskCourier) -> None:
        self._courier = courier
        self._lock = threading.Lock()
        self._said: dict[UUID, Progress] = {}
        self._thread: threading.Thread | None = None

    def say(self, queue_name: str, task_id: UUID, progress: Progress) -> None:
        with self._lock:
            self._said[task_id] = progress
            if self._thread is None:
                name = f"task_helpers progress {queue_name}"
                arguments = (queue_name,)
                thread = threading.Thread(target=self._run, args=arguments, name=name, daemon=True)
                thread.start()
                self._thread = thread

    def _run(self, queue_name: str) -> None:
        while said := self._take():
            try:
                self._courier.set_progress(queue_name, said)
            except CourierError as error:
                logger.info("The progress of tasks in queue %s is not kept: %s", queue_name, error)
            except Exception:
                logger.exception("The progress of tasks in queue %s is not kept.", queue_name)
            time.sleep(PAUSE)

    def _take(self) -> dict[UUID, Progress]:
        """Empty: the thread ends, and the next word starts another."""
        with self._lock:
            said, self._said = self._said, {}
            if not said:
                self._thread = None
            return said
