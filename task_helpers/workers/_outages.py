"""What a loop makes of a store that does not answer. It asks here how long to sleep."""

from __future__ import annotations

import logging
import time

from task_helpers.exceptions import CourierError, CourierUnavailable
from task_helpers.plurals import counted

logger = logging.getLogger("task_helpers.workers")

PAUSE = 0.5
"""Seconds until the store is asked again."""


class Outage:
    """
    While tasks are taken: it is waited out, however long it takes.

    - away - the store could not be reached when it was last asked.
    """

    away = False

    def met(self, error: CourierError) -> float:
        """Returns how long (seconds) to sleep."""
        if isinstance(error, CourierUnavailable):
            self.away = True
            logger.warning("Waiting for the store to come back: %s", error)
        else:
            logger.error("%s. A WRONGTYPE is mended by repair_queue() of a courier.", error)
        return PAUSE

    def is_over(self) -> None:
        """The store answers, whether or not there was an outage."""
        if self.away:
            self.away = False
            logger.warning("The store is back.")


class ReturnOutage(Outage):
    """
    While results are returned. They are worth more than a batch performed twice: they wait as long
    as the store is away. For a lease when the worker is to stop, or the store refuses them.

    - count - how many results.
    - lease_ms - that of their batch.
    """

    def __init__(self, count: int, lease_ms: int) -> None:
        self._count = count
        self._until = time.monotonic() + lease_ms / 1000

    def met(self, error: CourierError, stopping: bool = False) -> float:
        """Returns how long (seconds) to sleep; raises the error when it is not worth it."""
        hopeful = isinstance(error, CourierUnavailable) and not stopping
        if not hopeful and time.monotonic() > self._until:
            raise error
        self.away = True
        logger.warning("Waiting for the store with %s: %s", counted(self._count, "result"), error)
        return PAUSE
