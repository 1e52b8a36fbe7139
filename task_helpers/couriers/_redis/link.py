"""
One open connection: commands out, replies in.

redis-py opens it, with all that its settings ask for (TLS, passwords, Sentinel). From then on the
socket is ours: hiredis packs and parses, and nothing of the layers above is paid for each command.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import hiredis
import redis

from task_helpers.couriers._redis.commands import Command, Told
from task_helpers.couriers._redis.errors import reply_error

SHORTEST_TIMEOUT = 0.01
"""A socket timeout of 0 would mean not to wait at all."""

READ_BYTES = 65_536

AT_ONCE = struct.pack("ii", 1, 0)
"""Of a socket that is closed: it forgets what was not sent."""


class Connection(Protocol):
    """What is used of a connection of redis-py."""

    _sock: socket.socket
    socket_timeout: float
    socket_connect_timeout: float

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...


class ErrorMaker:
    """
    Makes the errors of a connection.

    - demoted - whether one said that this is no master any more: connect anew, to the new one.
    """

    def __init__(self) -> None:
        self.demoted = False

    def __call__(self, text: str) -> redis.RedisError:
        error = reply_error(text)
        self.demoted |= isinstance(error, redis.exceptions.ReadOnlyError)
        return error


class Link:
    """
    Used by one thread at a time. After an error or an interruption it can only be closed.

    - errors - what those that were read say of the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._socket = connection._sock
        self._patience = self._socket.gettimeout()
        self.errors = ErrorMaker()  # not a method: no cycle may keep a reader alive
        self._reader = hiredis.Reader(replyError=self.errors, protocolError=redis.InvalidResponse)
        self._owed: tuple[int, Told] | None = None  # so many replies come before all others
        self._behind: tuple[int, Told] | None = None  # the same, but behind what was sent just now

    def send(self, packed: bytes, seconds: float) -> None:
        """Raises `TimeoutError` when the other end takes nothing for so many seconds."""
        self.patience(seconds)
        self._socket.sendall(packed)

    def send_behind(self, commands: Sequence[Command], told: Told) -> None:
        """
        After commands whose replies are read now. In a packet of its own: Redis answers only when
        it has done all that it found in one.
        """
        self._behind = len(commands), told
        self._socket.sendall(packed(commands))

    def read(self, count: int) -> list[Any]:
        """The replies of the last commands, see `reply`; before them those that are owed."""
        if self._owed:
            owed, told = self._owed
            told(self._replies(owed))
        self._owed, self._behind = self._behind, None
        return self._replies(count)

    def _replies(self, count: int) -> list[Any]:
        replies: list[Any] = []
        gets = self._reader.gets
        while len(replies) < count:
            if (reply := gets()) is False:
                self._receive()
            else:
                replies.append(reply)
        return replies

    def reply(self) -> Any:
        """
        The next reply, an error of the server as a value. Raises `TimeoutError` when nothing has
        come for the seconds of the last `send` or `patience`: what came of it until then is kept.
        """
        [reply] = self._replies(1)
        return reply

    def _receive(self) -> None:
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise redis.ConnectionError("Redis closed the connection")
        self._reader.feed(data)

    def patience(self, seconds: float) -> None:
        """For what follows; the system is only told of what is new."""
        seconds = max(seconds, SHORTEST_TIMEOUT)
        if seconds != self._patience:
            self._socket.settimeout(seconds)
            self._patience = seconds

    def abort(self) -> None:
        """
        As `close`, after an error: what is still on its way is not sent any more, or it could come
        later than what is sent in its place.
        """
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.close()

    def close(self) -> None:
        self._connection.disconnect()
        for _, told in filter(None, (self._owed, self._behind)):
            told(redis.ConnectionError("the connection was closed"))


def packed(commands: Iterable[Command]) -> bytes:
    """As Redis reads them."""
    return b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]
