"""Couriers in memory, for tests: the same promises as over Redis, within one process."""

from __future__ import annotations

from typing import Any

from task_helpers.couriers._attributes import set_attributes, split_options
from task_helpers.couriers._memory.server import MemoryServer
from task_helpers.couriers._memory.store import MemoryStore
from task_helpers.couriers.base import (
    ClientTaskCourier,
    ClientWorkerTaskCourier,
    TaskCourier,
    WorkerTaskCourier,
)
from task_helpers.couriers.memory_async import (
    MemoryAsyncClientTaskCourier,
    MemoryAsyncClientWorkerTaskCourier,
    MemoryAsyncWorkerTaskCourier,
)

__all__ = [
    "MemoryClientTaskCourier",
    "MemoryClientWorkerTaskCourier",
    "MemoryServer",
    "MemoryWorkerTaskCourier",
]


class _MemoryTaskCourier(TaskCourier):
    """
    - server - the `MemoryServer` that it shares with other couriers; one of its own by default.
    - others - see `CourierOptions`. What is not known there becomes an attribute.
    """

    works_across_processes = False

    def __init__(self, server: MemoryServer | None = None, **keywords: Any) -> None:
        options, attributes = split_options(keywords)
        self.server = server or MemoryServer()
        super().__init__(MemoryStore(self.server, options), self.server.perform, options)
        set_attributes(self, attributes)

    def enqueued(self, queue_name: str) -> list[tuple[bytes, bytes]]:
        """(id, envelope) of what no worker has taken, for `task_helpers.testing`."""
        return self.server.enqueued(queue_name)

    def awaitable(self) -> Any:
        return self._sharing_batches(self._twin(self.server, **self.options.given()))


class MemoryClientTaskCourier(_MemoryTaskCourier, ClientTaskCourier):
    __doc__ = f"{ClientTaskCourier.__doc__}\n{_MemoryTaskCourier.__doc__}"
    _twin = MemoryAsyncClientTaskCourier


class MemoryWorkerTaskCourier(_MemoryTaskCourier, WorkerTaskCourier):
    __doc__ = f"{WorkerTaskCourier.__doc__}\n{_MemoryTaskCourier.__doc__}"
    _twin = MemoryAsyncWorkerTaskCourier


class MemoryClientWorkerTaskCourier(_MemoryTaskCourier, ClientWorkerTaskCourier):
    __doc__ = f"{ClientWorkerTaskCourier.__doc__}\n{_MemoryTaskCourier.__doc__}"
    _twin = MemoryAsyncClientWorkerTaskCourier
