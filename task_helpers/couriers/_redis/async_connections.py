"""Connections for event loops, made from the same settings as those of threads."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, cast

import redis
from redis import asyncio as aio
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.backoff import NoBackoff
from redis.sentinel import Sentinel, SentinelConnectionPool

from task_helpers.couriers._redis.connections import SOCKET_TIMEOUT, Connector

_TWINS: dict[type, type] = {
    aio.UnixDomainSocketConnection: redis.UnixDomainSocketConnection,
    aio.SSLConnection: redis.SSLConnection,
    aio.Connection: redis.Connection,
}
"""Of asyncio -> blocking; a class stands before its base."""


def blocking_pool(redis_connection: Any) -> Any:
    """
    A pool of `redis.Redis` with the settings of what is given, which may be a client or pool of
    `redis.asyncio`. What is neither is returned as it is.
    """
    pool = getattr(redis_connection, "connection_pool", redis_connection)
    if not isinstance(pool, aio.ConnectionPool):
        return redis_connection
    kind, settings = _twin(pool.connection_class), dict(pool.connection_kwargs)
    settings.pop("retry", None)  # of asyncio; nobody here retries by it
    if isinstance(pool, AsyncSentinelPool):
        return _blocking_sentinel_pool(pool, kind, settings)
    return redis.ConnectionPool(connection_class=kind, **settings)


def _twin(kind: type) -> type:
    return next(blocking for own, blocking in _TWINS.items() if issubclass(kind, own))


def _blocking_sentinel_pool(
    pool: Any, kind: type, settings: dict[str, Any]
) -> SentinelConnectionPool:
    del settings["connection_pool"]
    manager = pool.sentinel_manager
    nodes = [client.connection_pool.connection_kwargs for client in manager.sentinels]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(node["host"], node["port"]) for node in nodes],
        manager.min_other_sentinels,
        manager.sentinel_kwargs,
    )
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        pool.service_name,
        sentinel,
        is_master=pool.is_master,
        ssl=issubclass(kind, redis.SSLConnection),
        **settings,
    )


class AsyncConnector:
    """
    Opens connections to where a `Connector` leads. `TypeError` for a setting that redis-py knows
    for blocking connections alone.
    """

    def __init__(self, connector: Connector) -> None:
        kind, settings = connector.kind, dict(connector.settings)
        self._connector = connector  # kept alive: Sentinel is asked through its pool
        self._through = settings.pop("connection_pool", None)
        self._class = next(own for own, blocking in _TWINS.items() if issubclass(kind, blocking))
        self._settings = _accepted(self._class, settings) | {"retry": Retry(NoBackoff(), 0)}

    async def connect(self, timeout: float = SOCKET_TIMEOUT) -> asyncio.StreamWriter:
        """
        A new connection, greeted and ready for commands. In a task of its own: below Python 3.12
        redis-py may swallow a cancellation while it greets.
        """
        opening = asyncio.create_task(self._open(timeout))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.cancel()
            opening.add_done_callback(_close)
            raise

    async def _open(self, timeout: float) -> asyncio.StreamWriter:
        where = await self._master() if self._through else {}
        connection = self._class(**self._settings | where | {"socket_connect_timeout": timeout})
        try:
            await connection.connect()
            return cast(asyncio.StreamWriter, connection._writer)
        except BaseException:
            if connection._writer:  # left in the middle of the greeting
                connection._writer.transport.abort()
            raise
        finally:
            connection._reader = connection._writer = None  # its end shall not be theirs

    async def _master(self) -> dict[str, Any]:
        host, port = await asyncio.to_thread(self._through.get_master_address)
        return {"host": host, "port": port}


def _close(opening: asyncio.Task[asyncio.StreamWriter]) -> None:
    """Nobody waits for it any more."""
    if not opening.cancelled() and not opening.exception():
        opening.result().transport.abort()


def _accepted(kind: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Those without a value, and of maintenance, are left out silently; a wish is not."""
    constructors = (vars(base).get("__init__") for base in kind.__mro__)
    signatures = (inspect.signature(made) for made in constructors if inspect.isfunction(made))
    known = {name for signature in signatures for name in signature.parameters}
    for name, value in settings.items():
        if name not in known and name.startswith("ssl_") and value:
            raise TypeError(f"redis.asyncio cannot do {name}: leave it out of the connection")
    return {name: value for name, value in settings.items() if name in known}
