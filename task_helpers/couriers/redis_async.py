"""Couriers over Redis or Valkey, awaitable."""

from __future__ import annotations

from typing import Any

from task_helpers.couriers._attributes import set_attributes, split_options
from task_helpers.couriers._redis.asking import Asking
from task_helpers.couriers._redis.async_connections import AsyncConnector, blocking_pool
from task_helpers.couriers._redis.async_hints import AsyncHints
from task_helpers.couriers._redis.async_transport import AsyncTransport
from task_helpers.couriers._redis.connections import Connector
from task_helpers.couriers._redis.hints import Hints
from task_helpers.couriers._redis.store import RedisStore
from task_helpers.couriers._redis.transport import Transport
from task_helpers.couriers.base_async import (
    AsyncClientTaskCourier,
    AsyncClientWorkerTaskCourier,
    AsyncTaskCourier,
    AsyncWorkerTaskCourier,
)
from task_helpers.durations import seconds
from task_helpers.effects import Perform


class _RedisAsyncTaskCourier(AsyncTaskCourier):
    """
    - redis_connection - a `redis.asyncio.Redis`, a `redis.Redis` or a pool of either, also from
      Sentinel. Its settings are taken; in each event loop the courier opens connections of its
      own with them.
    - prefix - what all keys begin with.
    - others - see `CourierOptions`. What is not known there becomes an attribute.
    """

    def __init__(
        self, redis_connection: Any, *, prefix: str = "task_helpers", **keywords: Any
    ) -> None:
        options, attributes = split_options(keywords)
        self._connector = connector = Connector(blocking_pool(redis_connection))
        self._prefix = prefix
        own = AsyncConnector(connector)
        hints = AsyncHints(own, prefix)
        asking = Asking(connector.address(), seconds(options.retry_seconds, "retry_seconds"))
        self._transport = AsyncTransport(own, hints)
        store = RedisStore(asking, hints, prefix, options)
        super().__init__(store, self._transport.perform, options)
        self.redis_connection = redis_connection
        self._place = f"{connector.address()} prefix={prefix!r}"
        set_attributes(self, attributes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._place}>"

    def _blocking_perform(self) -> Perform:
        return Transport(self._connector, Hints(self._connector, self._prefix)).perform

    async def close(self) -> None:
        self._transport.close()


class RedisAsyncClientTaskCourier(_RedisAsyncTaskCourier, AsyncClientTaskCourier):
    __doc__ = f"{AsyncClientTaskCourier.__doc__}\n{_RedisAsyncTaskCourier.__doc__}"


class RedisAsyncWorkerTaskCourier(_RedisAsyncTaskCourier, AsyncWorkerTaskCourier):
    __doc__ = f"{AsyncWorkerTaskCourier.__doc__}\n{_RedisAsyncTaskCourier.__doc__}"


class RedisAsyncClientWorkerTaskCourier(_RedisAsyncTaskCourier, AsyncClientWorkerTaskCourier):
    __doc__ = f"{AsyncClientWorkerTaskCourier.__doc__}\n{_RedisAsyncTaskCourier.__doc__}"
