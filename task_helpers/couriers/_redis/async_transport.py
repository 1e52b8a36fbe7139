"""All I/O of the awaitable Redis couriers passes `AsyncTransport.perform`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import TimeoutError as RedisTimeoutError

from task_helpers.couriers._loops import PerLoop
from task_helpers.couriers._redis.async_connections import AsyncConnector
from task_helpers.couriers._redis.async_hints import AsyncHints
from task_helpers.couriers._redis.commands import Behind, Command, Send
from task_helpers.couriers._redis.connections import SOCKET_TIMEOUT
from task_helpers.couriers._redis.pipeline import Pipeline
from task_helpers.effects import Effect, Listen, Sleep


class AsyncTransport:
    """Performs the effects of the Redis store with the connections of the running loop."""

    def __init__(self, connector: AsyncConnector, hints: AsyncHints) -> None:
        self._connections = PerLoop(lambda: LoopConnections(connector))
        self._hints = hints

    async def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Send):
            return await self._connections.here().exchange(effect)
        if isinstance(effect, Listen):
            return await self._hints.listen(effect)
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.seconds)
        raise TypeError(f"{effect!r} is not an effect of the Redis store")

    def close(self) -> None:
        self._connections.close()
        self._hints.close()


class LoopConnections:
    """Of one event loop: one that all of its coroutines share, and one for each that blocks."""

    def __init__(self, connector: AsyncConnector) -> None:
        self._connector = connector
        self._shared: Pipeline | None = None
        self._connecting: asyncio.Task[Pipeline] | None = None
        self._blocking: set[Pipeline] = set()
        self._idle: list[Pipeline] = []

    async def exchange(self, send: Send) -> list[Any]:
        """As `Pool.exchange`."""
        within = min(max(send.blocks + send.within, 0.0), SOCKET_TIMEOUT)
        if send.blocks:
            return await self._exchange_blocking(send, within)
        if send.behind:
            return await self._exchange_all(send.commands, send.behind, within)
        return await self._exchange_shared(send.commands, within)

    async def _exchange_shared(self, commands: Sequence[Command], within: float) -> list[Any]:
        shared = self._shared
        if shared is None or not shared.is_open():
            shared = await self._connected(within)
        return await shared.exchange(commands, within)

    async def _exchange_all(
        self, commands: Sequence[Command], behind: Behind, within: float
    ) -> list[Any]:
        """A coroutine that waits for all of the replies holds nobody up."""
        try:
            replies = await self._exchange_shared([*commands, *behind.commands()], within)
        except BaseException as error:
            behind.told(error)
            raise
        behind.told(replies[len(commands) :])
        return replies[: len(commands)]

    async def _exchange_blocking(self, send: Send, within: float) -> list[Any]:
        connection = await self._take(within)
        try:
            replies = await connection.exchange(send.commands, within)
        except asyncio.CancelledError:
            await connection.hang_up()  # what is given back must not be taken after that
            raise
        except BaseException:
            connection.close()
            raise
        finally:
            self._blocking.discard(connection)
        self._idle.append(connection)
        return replies

    async def _take(self, within: float) -> Pipeline:
        while self._idle:
            if (connection := self._idle.pop()).is_open():
                break
        else:
            connection = await self._opened_for_one(within)
        self._blocking.add(connection)
        return connection

    async def _opened_for_one(self, within: float) -> Pipeline:
        """Whoever leaves before it is open leaves it to the next one."""
        opening = asyncio.create_task(self._open())
        try:
            return await _opened(opening, within)
        except BaseException:
            opening.add_done_callback(self._keep)
            raise

    async def _connected(self, within: float) -> Pipeline:
        """All who need the shared connection wait for one attempt, also if the first one leaves."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._share)
        return await _opened(self._connecting, within)

    async def _open(self) -> Pipeline:
        return Pipeline(await self._connector.connect())

    def _share(self, opening: asyncio.Task[Pipeline]) -> None:
        self._connecting = None
        if not opening.cancelled() and not opening.exception():
            self._shared = opening.result()

    def _keep(self, opening: asyncio.Task[Pipeline]) -> None:
        if not opening.cancelled() and not opening.exception():
            self._idle.append(opening.result())

    def close(self) -> None:
        if self._connecting:
            self._connecting.cancel()
        for connection in (self._shared, *self._blocking, *self._idle):
            if connection:
                connection.close()


async def _opened(opening: asyncio.Task[Pipeline], within: float) -> Pipeline:
    try:
        async with asyncio.timeout(within):
            return await asyncio.shield(opening)
    except TimeoutError:
        raise RedisTimeoutError("no connection in time") from None
