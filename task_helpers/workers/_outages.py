"""What a loop makes of a store that does not answer. It asks here how long to sleep."""

from __future__ import annotations

import logging
import os
import time

from task_helpers.exceptions import CourierError, CourierUnavailable
from task_helpers.plurals import counted

logger = logging.getLogger("task_helpers.workers")

PAUSE = 0.5
"""Seconds until the store is asked again."""

SILENCE = 60.0
"""Seconds in which the same error is logged once."""


class Outage:
    """
    While tasks are taken: it is waited out, however long it takes.

    - away - the store could not be reached when it was last asked.
    """

    away = False
    _told: tuple[type[CourierError], float] | None = None

    def met(self, error: CourierError) -> float:
        """Returns how long (seconds) to sleep."""
        if isinstance(error, CourierUnavailable):
            self.away = True
            if self._is_news(error):
                text = "Process %d waits for the store to come back: %s"
                logger.warning(text, os.getpid(), error)
        elif self._is_news(error):
            logger.error("%s. A WRONGTYPE is mended by repair_queue() of a courier.", error)
        return PAUSE

    def is_over(self) -> None:
        """The store answers, whether or not there was an outage."""
        if self.away:
            self.away, self._told = False, None
            logger.warning("The store is back for process %d.", os.getpid())

    def _is_news(self, error: CourierError) -> bool:
        """Once a minute, and when it is another error."""
        told, now = self._told, time.monotonic()
        if told and told[0] is type(error) and now < told[1] + SILENCE:
            return False
        self._told = type(error), now
        return True


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
        if self._is_news(error):
            text = "Process %d waits for the store with %s: %s"
            logger.warning(text, os.getpid(), counted(self._count, "result"), error)
        return PAUSE
