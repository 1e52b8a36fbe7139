"""One connection on which the commands of many coroutines are on their way."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from task_helpers.couriers._redis.commands import Command
from task_helpers.couriers._redis.connections import SOCKET_TIMEOUT
from task_helpers.couriers._redis.replies import Replies


class Packet:
    """The commands that one coroutine sent together, and the replies so far."""

    __slots__ = ("answer", "count", "replies", "sent_at")

    def __init__(self, count: int) -> None:
        self.count = count
        self.replies: list[Any] = []
        self.answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.sent_at = time.monotonic()


class Pipeline(Replies):
    """
    Replies come in the order of the commands, so every packet stands in line for its own. One that
    nobody waits for any more, timed out or cancelled, keeps its place: its late replies must not
    be taken for those of the next one.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._line: deque[Packet] = deque()

    async def exchange(self, commands: Sequence[Command], within: float) -> list[Any]:
        """As `Pool.exchange`."""
        packet = Packet(len(commands))
        self.send(commands)
        self._line.append(packet)
        try:
            async with asyncio.timeout(within):
                return await packet.answer
        except TimeoutError:
            self._check_silence()
            raise RedisTimeoutError("no answer in time") from None

    def received(self, reply: Any) -> None:
        packet = self._line[0]
        packet.replies.append(reply)
        if isinstance(reply, ReadOnlyError):  # a failover: connect anew, to the new master
            self.close()
        if len(packet.replies) == packet.count:
            self._line.popleft()
            if not packet.answer.done():
                packet.answer.set_result(packet.replies)

    def lost(self, error: RedisConnectionError) -> None:
        for packet in self._line:
            if not packet.answer.done():
                packet.answer.set_exception(error)

    def _check_silence(self) -> None:
        """Somebody's patience may be short; the connection is dead when nobody hears anything."""
        silent_since = max(self.heard_at, self._line[0].sent_at) if self._line else self.heard_at
        if time.monotonic() - silent_since >= SOCKET_TIMEOUT:
            self.close()
