"""The thread that keeps the lease of a worker's batch alive while the batch is performed."""

from __future__ import annotations

import logging
import threading

from task_helpers.couriers.base import WorkerTaskCourier
from task_helpers.exceptions import TaskHelpersError

logger = logging.getLogger("task_helpers.workers")

RENEWALS_PER_LEASE = 6
"""Five renewals may fail in a row before a lease is lost."""


class LeaseKeeper:
    """Renews from `start` to `stop`, which are called once each."""

    def __init__(self, courier: WorkerTaskCourier, queue_name: str, worker_name: str) -> None:
        self._courier = courier
        self._queue_name = queue_name
        self._worker_name = worker_name
        self._interval = courier.options.lease_ms / 1000 / RENEWALS_PER_LEASE
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"task_helpers lease {queue_name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        self.step()
        while not self._stopping.wait(self._interval):
            self.step()

    def step(self) -> None:
        """One renewal. A failed one is tried again in time; the thread must not die of it."""
        try:
            self._courier.renew_leases(self._queue_name, self._worker_name)
        except TaskHelpersError as error:
            logger.warning("The lease on queue %s was not renewed: %s", self._queue_name, error)
