"""Couriers over the project's own database, blocking."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import DEFAULT_DB_ALIAS

from django_task_helpers.couriers._database.asking import Asking
from django_task_helpers.couriers._database.store import DatabaseStore
from django_task_helpers.couriers._database.telling import Telling
from django_task_helpers.couriers._database.transport import Transport
from django_task_helpers.couriers._database.waiting import Waiting
from django_task_helpers.couriers.database_async import (
    DatabaseAsyncClientTaskCourier,
    DatabaseAsyncClientWorkerTaskCourier,
    DatabaseAsyncWorkerTaskCourier,
)
from task_helpers.couriers.backends import set_attributes, split_options
from task_helpers.couriers.base import (
    ClientTaskCourier,
    ClientWorkerTaskCourier,
    TaskCourier,
    WorkerTaskCourier,
)
from task_helpers.couriers.base_async import AsyncTaskCourier
from task_helpers.durations import seconds


class _DatabaseTaskCourier(TaskCourier):
    """
    - using - the alias of the database, whose connections are Django's own: a task that is added
      within a transaction is there when that one commits.
    - others - see `CourierOptions`. What is not known there becomes an attribute.
    """

    _twin: ClassVar[type[AsyncTaskCourier]]

    def __init__(self, using: str = DEFAULT_DB_ALIAS, **keywords: Any) -> None:
        options, attributes = split_options(keywords)
        waiting = Waiting()
        asking = Asking(using, seconds(options.retry_seconds, "retry_seconds"))
        store = DatabaseStore(using, asking, waiting, Telling(), options)
        super().__init__(store, Transport(using, waiting).perform, options)
        self.using = using
        set_attributes(self, attributes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} using={self.using!r}>"

    def awaitable(self) -> Any:
        twin: Any = self._twin
        return self._sharing_batches(twin(self.using, **self.options.given()))


class DatabaseClientTaskCourier(_DatabaseTaskCourier, ClientTaskCourier):
    __doc__ = f"{ClientTaskCourier.__doc__}\n{_DatabaseTaskCourier.__doc__}"
    _twin = DatabaseAsyncClientTaskCourier


class DatabaseWorkerTaskCourier(_DatabaseTaskCourier, WorkerTaskCourier):
    __doc__ = f"{WorkerTaskCourier.__doc__}\n{_DatabaseTaskCourier.__doc__}"
    _twin = DatabaseAsyncWorkerTaskCourier


class DatabaseClientWorkerTaskCourier(_DatabaseTaskCourier, ClientWorkerTaskCourier):
    __doc__ = f"{ClientWorkerTaskCourier.__doc__}\n{_DatabaseTaskCourier.__doc__}"
    _twin = DatabaseAsyncClientWorkerTaskCourier
