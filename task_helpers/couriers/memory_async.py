"""Couriers in memory, awaitable, for tests: the same promises as over Redis, within one process."""

from __future__ import annotations

from typing import Any

from task_helpers.couriers._attributes import set_attributes, split_options
from task_helpers.couriers._memory.async_server import AsyncMemoryServer
from task_helpers.couriers._memory.server import MemoryServer
from task_helpers.couriers._memory.store import MemoryStore
from task_helpers.couriers.base_async import (
    AsyncClientTaskCourier,
    AsyncClientWorkerTaskCourier,
    AsyncTaskCourier,
    AsyncWorkerTaskCourier,
)
from task_helpers.effects import Perform

__all__ = [
    "MemoryAsyncClientTaskCourier",
    "MemoryAsyncClientWorkerTaskCourier",
    "MemoryAsyncWorkerTaskCourier",
    "MemoryServer",
]


class _MemoryAsyncTaskCourier(AsyncTaskCourier):
    """
    - server - the `MemoryServer` that it shares with other couriers, blocking ones too; one of its
      own by default.
    - others - see `CourierOptions`. What is not known there becomes an attribute.
    """

    works_across_processes = False

    def __init__(self, server: MemoryServer | None = None, **keywords: Any) -> None:
        options, attributes = split_options(keywords)
        self.server = server or MemoryServer()
        store = MemoryStore(self.server, options, self.server.lookout_of_loops)
        super().__init__(store, AsyncMemoryServer(self.server).perform, options)
        set_attributes(self, attributes)

    def enqueued(self, queue_name: str) -> list[tuple[bytes, bytes]]:
        """(id, envelope) of what no worker has taken, for `task_helpers.testing`."""
        return self.server.enqueued(queue_name)

    def _blocking_perform(self) -> Perform:
        return self.server.perform


class MemoryAsyncClientTaskCourier(_MemoryAsyncTaskCourier, AsyncClientTaskCourier):
    __doc__ = f"{AsyncClientTaskCourier.__doc__}\n{_MemoryAsyncTaskCourier.__doc__}"


class MemoryAsyncWorkerTaskCourier(_MemoryAsyncTaskCourier, AsyncWorkerTaskCourier):
    __doc__ = f"{AsyncWorkerTaskCourier.__doc__}\n{_MemoryAsyncTaskCourier.__doc__}"


class MemoryAsyncClientWorkerTaskCourier(_MemoryAsyncTaskCourier, AsyncClientWorkerTaskCourier):
    __doc__ = f"{AsyncClientWorkerTaskCourier.__doc__}\n{_MemoryAsyncTaskCourier.__doc__}"
