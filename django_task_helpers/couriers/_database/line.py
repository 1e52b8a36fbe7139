"""The connection on which a process listens to a PostgreSQL, used by one thread."""

from __future__ import annotations

import secrets
import selectors
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from socket import socket
from typing import Any

from django.db import connections

PROBE_SECONDS = 1.0

PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""A server that is gone without a word is noticed by the system; settings of the alias win."""


class NotTold(Exception):
    """This database will tell nothing on a connection of these settings."""


class Line:
    """
    Connects, or raises what the driver raises, or NotTold.

    - bell - whoever writes to the other end of it interrupts `read`.
    """

    def __init__(self, using: str, bell: socket) -> None:
        self._using = using
        self._bell = bell
        self._wrapper = _connected(using)
        self._connection: Any = self._wrapper.connection
        self._heard: list[tuple[str, str]] = []
        self._channels = frozenset[str]()
        self._selector = selectors.DefaultSelector()
        self._selector.register(bell, selectors.EVENT_READ)
        self._selector.register(self._connection.fileno(), selectors.EVENT_READ)
        self._connection.add_notify_handler(lambda n: self._heard.append((n.channel, n.payload)))

    def close(self) -> None:
        self._selector.close()
        self._connection.close()

    def check(self) -> None:
        """Where a pooler stands in between, whether it brings what others say; else NotTold."""
        [pid] = self._connection.execute("SELECT pg_backend_pid()").fetchone()
        if pid == self._pid_told():
            return
        probe = f"task_helpers_probe_{secrets.token_hex(8)}"
        self.listen(frozenset([probe]))
        with closing(_connected(self._using).connection) as other:
            other.execute(f"NOTIFY {probe}")
        until = time.monotonic() + PROBE_SECONDS
        while (left := until - time.monotonic()) > 0:
            if any(channel == probe for channel, _ in self.read(left)):
                return
        raise NotTold("it is reached by a pooler that passes no notifications on")

    def _pid_told(self) -> int:
        """A pooler names another one than the server does."""
        pid: int = self._connection.info.backend_pid
        return pid

    def listen(self, channels: frozenset[str]) -> bool:
        """To these, and to no others. Whether that is new."""
        new, old = channels - self._channels, self._channels - channels
        commands = [*(f"LISTEN {name}" for name in new), *(f"UNLISTEN {name}" for name in old)]
        if commands:
            self._connection.execute("; ".join(commands))
        self._channels = channels
        return bool(commands)

    def read(self, seconds: float) -> Iterable[tuple[str, str]]:
        """(channel, payload) of what is said within so many seconds; nothing after the bell."""
        if not self._heard:
            for key, _ in self._selector.select(seconds):
                if key.fileobj is self._bell:
                    self._bell.recv(1000)
                else:
                    self._heard.extend(self._received())
        heard, self._heard = self._heard, []
        return heard

    def _received(self) -> Iterator[tuple[str, str]]:
        raw = self._connection.pgconn
        raw.consume_input()
        while said := raw.notifies():
            yield said.relname.decode(), said.extra.decode()


@contextmanager
def opened(using: str, bell: socket) -> Iterator[Line]:
    line = Line(using, bell)
    try:
        line.check()
        yield line
    finally:
        line.close()


def _connected(using: str) -> Any:
    """A connection beside those that Django manages, by the same settings; none of a pool."""
    managed: Any = connections[using]
    if managed.Database.__name__ != "psycopg":
        raise NotTold("this needs psycopg 3")
    options = {k: v for k, v in managed.settings_dict["OPTIONS"].items() if k != "pool"}
    settings = {**managed.settings_dict, "OPTIONS": {**PATIENCE, **options}}
    wrapper = type(managed)(settings, using)
    wrapper.connect()
    return wrapper
