"""The thread that keeps the leases of a worker's batches alive while they are performed."""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from uuid import UUID

from task_helpers.couriers.base import WorkerTaskCourier
from task_helpers.exceptions import CourierError
from task_helpers.exit_codes import TOO_LONG

logger = logging.getLogger("task_helpers.workers")

RENEWALS_PER_LEASE = 6
"""Five renewals may be refused in a row before a lease is lost."""

LONGEST_STOP = 1.0


class LeaseKeeper:
    """
    Renews from `start` to `stop`, which are called once each. A batch is known by its first task;
    there may be several at the same time.

    - max_batch_seconds - a batch that takes longer counts as stuck: the stacks of all threads are
      printed and the process ends, so that a deadlock cannot hold a lease for ever. None: any time.
    """

    def __init__(
        self,
        courier: WorkerTaskCourier,
        queue_name: str,
        worker_name: str,
        max_batch_seconds: float | None = None,
    ) -> None:
        self._courier = courier
        self._queue_name = queue_name
        self._worker_name = worker_name
        self._max_batch_seconds = max_batch_seconds
        self._batches: dict[UUID, Sequence[UUID]] = {}
        self._ends: dict[UUID, float] = {}  # when a batch counts as stuck
        self._interval = courier.options.lease_ms / 1000 / RENEWALS_PER_LEASE
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"task_helpers lease {queue_name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Does not wait for a renewal that a store which is away holds up."""
        self._stopping.set()
        self._thread.join(LONGEST_STOP)

    def batch_begins(self, task_ids: Sequence[UUID]) -> None:
        self.batch_waits(task_ids)
        if self._max_batch_seconds is not None:
            self._ends[task_ids[0]] = time.monotonic() + self._max_batch_seconds

    def batch_waits(self, task_ids: Sequence[UUID]) -> None:
        """Performed or not yet, it may wait for the store or its turn: it is not stuck."""
        self._batches[task_ids[0]] = task_ids
        self._ends.pop(task_ids[0], None)

    def batch_ends(self, task_ids: Sequence[UUID]) -> None:
        """What is not performed any more is not renewed any more, however it ended."""
        self._batches.pop(task_ids[0], None)
        self._ends.pop(task_ids[0], None)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = self.step()

    def step(self) -> float:
        """
        One renewal; returns in how many seconds the next is due. A failed one is tried again in
        time: the thread must not die of it.
        """
        if min(self._ends.copy().values(), default=math.inf) <= time.monotonic():
            self._end_process()
        held = [task_id for batch in self._batches.copy().values() for task_id in batch]
        try:
            self._courier.renew_leases(self._queue_name, self._worker_name, held)
        except CourierError as error:
            logger.warning("The lease on queue %s was not renewed: %s", self._queue_name, error)
        except Exception:
            logger.exception("The lease on queue %s was not renewed.", self._queue_name)
        if self._max_batch_seconds is None:
            return self._interval
        return min(self._interval, self._max_batch_seconds / RENEWALS_PER_LEASE)

    def _end_process(self) -> None:
        logger.critical(
            "A batch of queue %s took longer than max_batch_seconds = %s: ending the process.",
            self._queue_name,
            self._max_batch_seconds,
        )
        faulthandler.dump_traceback(all_threads=True)
        os._exit(TOO_LONG)
