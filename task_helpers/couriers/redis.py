"""Couriers over Redis or Valkey, blocking."""

from __future__ import annotations

from typing import Any

from task_helpers.couriers._attributes import set_attributes, split_options
from task_helpers.couriers._redis.asking import Asking
from task_helpers.couriers._redis.connections import Connector
from task_helpers.couriers._redis.hints import Hints
from task_helpers.couriers._redis.store import RedisStore
from task_helpers.couriers._redis.transport import Transport
from task_helpers.couriers.base import (
    ClientTaskCourier,
    ClientWorkerTaskCourier,
    TaskCourier,
    WorkerTaskCourier,
)
from task_helpers.couriers.redis_async import (
    RedisAsyncClientTaskCourier,
    RedisAsyncClientWorkerTaskCourier,
    RedisAsyncWorkerTaskCourier,
)
from task_helpers.durations import seconds


class _RedisTaskCourier(TaskCourier):
    """
    - redis_connection - a `redis.Redis` or a pool of it, also from Sentinel. Its settings are
      taken; the courier opens connections of its own with them.
    - prefix - what all keys begin with.
    - others - see `CourierOptions`. What is not known there becomes an attribute.
    """

    def __init__(
        self, redis_connection: Any, *, prefix: str = "task_helpers", **keywords: Any
    ) -> None:
        options, attributes = split_options(keywords)
        connector = Connector(redis_connection)
        hints = Hints(connector, prefix)
        asking = Asking(connector.address(), seconds(options.retry_seconds, "retry_seconds"))
        self._transport = Transport(connector, hints)
        store = RedisStore(asking, hints, prefix, options)
        super().__init__(store, self._transport.perform, options)
        self.redis_connection = redis_connection
        self._prefix = prefix
        self._place = f"{connector.address()} prefix={prefix!r}"
        set_attributes(self, attributes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._place}>"

    def awaitable(self) -> Any:
        made = self._twin(self.redis_connection, prefix=self._prefix, **self.options.given())
        return self._sharing_batches(made)

    def close(self) -> None:
        self._transport.close()


class RedisClientTaskCourier(_RedisTaskCourier, ClientTaskCourier):
    __doc__ = f"{ClientTaskCourier.__doc__}\n{_RedisTaskCourier.__doc__}"
    _twin = RedisAsyncClientTaskCourier


class RedisWorkerTaskCourier(_RedisTaskCourier, WorkerTaskCourier):
    __doc__ = f"{WorkerTaskCourier.__doc__}\n{_RedisTaskCourier.__doc__}"
    _twin = RedisAsyncWorkerTaskCourier


class RedisClientWorkerTaskCourier(_RedisTaskCourier, ClientWorkerTaskCourier):
    __doc__ = f"{ClientWorkerTaskCourier.__doc__}\n{_RedisTaskCourier.__doc__}"
    _twin = RedisAsyncClientWorkerTaskCourier
