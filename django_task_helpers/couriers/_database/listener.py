"""
Who listens to a PostgreSQL for a whole process: one thread, on one connection per alias.

It exists for as long as anybody waits. Threads and event loops alike are woken by it; whoever
works and whoever only adds tasks has neither.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import suppress
from socket import socket, socketpair
from weakref import WeakSet

from django.db import connections

from django_task_helpers.couriers._database.ear import Ear
from django_task_helpers.couriers._database.line import Line, NotTold, opened
from task_helpers.couriers.backends import pauses
from task_helpers.forks import restart_after_fork

logger = logging.getLogger("task_helpers.couriers")

IDLE_SECONDS = 30.0
"""A connection on which nobody has waited for so long is closed."""


def attend(using: str, ear: Ear) -> None:
    """Has it told from soon on, where the database can. Returns at once."""
    if connections[using].vendor == "postgresql":
        _listener(using).attend(ear)


def leave(ear: Ear) -> None:
    """It is told nothing more. The last one who leaves closes the connection, soon."""
    for listener in list(_listeners.values()):
        listener.leave(ear)


_listeners: dict[str, Listener] = {}


def _listener(using: str) -> Listener:
    return _listeners.get(using) or _listeners.setdefault(using, Listener(using))


class Listener:
    """- using - the alias."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._line: Line | None = None
        self._inherited: list[Line] = []
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        """The connection that a forked child finds is its parent's, and stays open."""
        if self._line:
            self._inherited.append(self._line)
        self._line = None
        self._lock = threading.RLock()
        self._ears = WeakSet[Ear]()
        self._bell: socket | None = None
        self._needed_at = 0.0
        self._is_able = True
        self._has_complained = False

    def attend(self, ear: Ear) -> None:
        with self._lock:
            if not self._is_able:
                return
            self._ears.add(ear)
            self._needed_at = time.monotonic()
            if self._bell is None:
                self._begin()
            self._ring()

    def leave(self, ear: Ear) -> None:
        with self._lock:
            self._ears.discard(ear)
            self._ring()
        ear.closed()

    def _begin(self) -> None:
        self._bell, other_end = socketpair()
        self._bell.setblocking(False)
        name = f"listener of database {self._using}"
        threading.Thread(target=self._run, args=[other_end], name=name, daemon=True).start()

    def _ring(self) -> None:
        if self._bell:
            with suppress(BlockingIOError):  # it rings already
                self._bell.send(b"!")

    # --- In the thread

    def _run(self, bell: socket) -> None:
        later = pauses(math.inf)
        while self._goes_on():
            try:
                self._listen(bell)
                later = pauses(math.inf)
            except NotTold as error:
                self._is_able = False
                self._complain(error)
            except Exception as error:
                self._complain(error)
                time.sleep(next(later))
        bell.close()

    def _goes_on(self) -> bool:
        """If not, the thread ends: the next one who attends begins another."""
        with self._lock:
            if self._is_able and self._in_need():
                return True
            if self._bell:
                self._bell.close()
            self._bell = None
            return False

    def _in_need(self) -> list[Ear]:
        """All, if anybody waits or did a moment ago."""
        with self._lock:
            ears, now = list(self._ears), time.monotonic()
            if any(ear.is_needed() for ear in ears):
                self._needed_at = now
            return ears if now - self._needed_at < IDLE_SECONDS else []

    def _listen(self, bell: socket) -> None:
        with opened(self._using, bell) as line:
            self._line, self._has_complained = line, False
            try:
                while ears := self._in_need():
                    self._pass_on(line, ears)
            finally:
                self._line = None
                with self._lock:
                    for ear in self._ears:
                        ear.closed()

    def _pass_on(self, line: Line, ears: list[Ear]) -> None:
        channels = frozenset[str]().union(*(ear.channels for ear in ears))
        if line.listen(channels):
            for ear in ears:
                ear.opened(channels)
        for hint in line.read(IDLE_SECONDS):
            for ear in ears:
                ear.hear(*hint)

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            why = " ".join(str(error).split())
            logger.warning(
                "Database %r does not tell what happens (%s): it is asked instead, several times a "
                "second.",
                self._using,
                why,
            )
