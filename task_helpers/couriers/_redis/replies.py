"""The replies of Redis on an asyncio connection, as they come in."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

import hiredis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

from task_helpers.couriers._redis.commands import Command
from task_helpers.couriers._redis.link import AT_ONCE, packed

HANG_UP_SECONDS = 1.0

_NOTHING = object()


class Replies(asyncio.Protocol):
    """
    Takes a connection over from its streams: no task has to wait for what comes.

    - heard_at - when the last bytes came, `time.monotonic()`.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer  # kept: its end would be that of the connection
        self._transport = cast(asyncio.Transport, writer.transport)
        self._parser = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_NOTHING,
        )
        self.heard_at = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._outgoing: list[bytes] = []
        self._transport.set_protocol(self)

    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def send(self, commands: Iterable[Command]) -> None:
        """
        In one packet, with what others send in this turn of the loop. Raises redis'
        `ConnectionError` when the connection is gone: it may not be said again.
        """
        if not self.is_open():
            raise RedisConnectionError("the connection was closed")
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed(commands))

    def _flush(self) -> None:
        if self.is_open():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def close(self) -> None:
        """
        At once, and what is on its way is not sent any more. In a closed loop the socket is all
        that is left.
        """
        wire = self._writer.get_extra_info("socket")
        with suppress(OSError):
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        try:
            self._transport.abort()
        except RuntimeError:
            wire.shutdown(socket.SHUT_RDWR)

    async def hang_up(self) -> None:
        """
        Returns when Redis has seen that nobody is there any more: it runs nothing of what was sent
        from then on. When it does not answer soon, the connection is closed all the same.
        """
        self._outgoing.clear()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()  # TLS says goodbye, and waits for the answer
        try:
            await asyncio.wait([self._gone], timeout=HANG_UP_SECONDS)
        finally:
            self.close()

    # --- What asyncio calls

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        self._parser.feed(data)
        try:
            while (reply := self._parser.gets()) is not _NOTHING:
                self.received(reply)
        except InvalidResponse:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
        self.lost(RedisConnectionError(str(error or "the connection was closed")))

    # --- To be said by subclasses

    def received(self, reply: Any) -> None:
        """One reply; an error of the server is an exception."""

    def lost(self, error: RedisConnectionError) -> None:
        """No more will come."""
