"""The thread that keeps the leases of a worker's batches alive while they are performed."""

from __future__ import annotations

import faulthandler
import logging
import os
import threading

from task_helpers.couriers.base import WorkerTaskCourier
from task_helpers.exceptions import CourierError
from task_helpers.exit_codes import TOO_LONG
from task_helpers.workers._held import Held

logger = logging.getLogger("task_helpers.workers")

RENEWALS_PER_LEASE = 6
"""Five renewals may be refused in a row before a lease is lost."""

LONGEST_STOP = 1.0


class LeaseKeeper:
    """
    Renews from `start` to `stop`, which are called once each.

    - max_batch_seconds - a batch that takes longer counts as stuck: the stacks of all threads are
      printed and the process ends, so that a deadlock cannot hold a lease for ever. None: any time.
    """

    def __init__(
        self,
        courier: WorkerTaskCourier,
        queue_name: str,
        worker_name: str,
        held: Held,
        max_batch_seconds: float | None = None,
    ) -> None:
        self._courier = courier
        self._queue_name = queue_name
        self._worker_name = worker_name
        self._held = held
        self._max_batch_seconds = max_batch_seconds
        lease = courier.options.lease_ms / 1000
        shortest = lease if max_batch_seconds is None else min(lease, max_batch_seconds)
        self._interval = shortest / RENEWALS_PER_LEASE
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

    def _run(self) -> None:
        """The worker itself has just said that it lives."""
        while not self._stopping.wait(self._interval):
            self.step()
        self._courier.leave_thread()

    def step(self) -> None:
        """
        One renewal. A failed one is tried again in time: the thread must not die of it. Without a
        batch it only reports that the worker lives, and whoever takes tasks says what fails.
        """
        limit = self._max_batch_seconds
        if limit is not None and self._held.longest() >= limit:
            self._end_process()
        held = self._held.task_ids()
        try:
            self._courier.renew_leases(self._queue_name, self._worker_name, held)
        except CourierError as error:
            if held:
                logger.warning("The lease on queue %s was not renewed: %s", self._queue_name, error)
        except Exception:
            logger.exception("The lease on queue %s was not renewed.", self._queue_name)

    def _end_process(self) -> None:
        logger.critical(
            "A batch of queue %s took longer than max_batch_seconds = %s: ending the process.",
            self._queue_name,
            self._max_batch_seconds,
        )
        faulthandler.dump_traceback(all_threads=True)
        os._exit(TOO_LONG)
