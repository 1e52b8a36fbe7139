"""The database's clock, and the places in line that are made of it."""

from __future__ import annotations

import math
import threading
import time

from django.db.backends.base.base import BaseDatabaseWrapper

from django_task_helpers.couriers._database.vendors import clock_of
from task_helpers.forks import restart_after_fork

CACHE_SECONDS = 60


class Clock:
    """Read once a minute: in between, the monotonic clock has not drifted far. Safe for threads."""

    def __init__(self) -> None:
        self._read_at = -math.inf
        self._offset = 0
        self._last = 0
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        """A forked child waits for no thread of its parent."""
        self._lock = threading.Lock()

    def known(self) -> int | None:
        """In ms; None when it is to be read."""
        if time.monotonic() - self._read_at > CACHE_SECONDS:
            return None
        return int(time.monotonic() * 1000) + self._offset

    def now(self, connection: BaseDatabaseWrapper) -> int:
        """In ms."""
        if (now := self.known()) is not None:
            return now
        connection.ensure_connection()  # to connect takes its time
        # Read before the question: a little ahead of the server rather than behind it, where what
        # was made a moment ago would be of the future.
        read_at = time.monotonic()
        now = clock_of(connection)
        self._offset = now - int(read_at * 1000)
        self._read_at = read_at
        return now

    def places(self, now: int, count: int) -> int:
        """The first of so many places in a row, µs: behind all others that this process gave."""
        with self._lock:
            first = max(1000 * now, self._last + 1)
            self._last = first + count - 1
            return first
