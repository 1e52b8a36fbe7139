"""
Threads of a process take turns to write to a file of SQLite.

Who finds it locked sleeps and looks again, so that whoever happens to look next is next: of
hundreds of threads some would wait for seconds, and the worker's process beside them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

from task_helpers.forks import restart_after_fork

PATIENCE = 1.0
"""Seconds after which a thread tries its luck: another process may hold the file for long."""


class Turns:
    """Of those who share a store."""

    def __init__(self) -> None:
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        """A forked child waits for no thread of its parent."""
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """
        For the length of a transaction. Who is in one of its own already may hold the file, and so
        waits for nobody who waits for the file.
        """
        lock = self._lock
        wanted = connection.vendor == "sqlite" and not connection.in_atomic_block
        is_ours = wanted and lock.acquire(timeout=PATIENCE)
        try:
            yield
        finally:
            if is_ours:
                lock.release()
