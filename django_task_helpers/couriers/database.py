"""Couriers over the project's own database, blocking."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from django_task_helpers.conf import named_database
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
from django_task_helpers.couriers.transactional import TransactionalClient, TransactionalCourier
from django_task_helpers.models import State, Task
from task_helpers.couriers.backends import set_attributes, split_options
from task_helpers.couriers.base import (
    ClientTaskCourier,
    ClientWorkerTaskCourier,
    TaskCourier,
    WorkerTaskCourier,
)
from task_helpers.durations import seconds


class _DatabaseTaskCourier(TaskCourier):
    """
    - using - the alias of the database, whose connections are Django's own: a task that is added
      within a transaction is there when that one commits.
    - others - see `CourierOptions`. What is not known there becomes an attribute.
    """

    def __init__(self, using: str = DEFAULT_DB_ALIAS, **keywords: Any) -> None:
        options, attributes = split_options(keywords)
        named_database(using, "using")
        self._waiting = waiting = Waiting(using)
        asking = Asking(using, seconds(options.retry_seconds, "retry_seconds"))
        store = DatabaseStore(using, asking, waiting, Telling(using), options)
        super().__init__(store, Transport(using, waiting).perform, options)
        self.using: str | None = using
        self._using = using
        set_attributes(self, attributes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} using={self.using!r}>"

    def close(self) -> None:
        self._waiting.close()

    def enqueued(self, queue_name: str) -> list[tuple[bytes, bytes]]:
        """(id, envelope) of what no worker has taken, for `task_helpers.testing`."""
        lines = Task._default_manager.using(self.using).order_by("state", "rank", "place", "id")
        return list(
            lines.filter(queue=queue_name)
            .exclude(state=State.RUNNING)
            .values_list("id", "envelope")
        )

    def leave_thread(self) -> None:
        if not (connection := connections[self._using]).in_atomic_block:
            connection.close()

    def awaitable(self) -> Any:
        return self._sharing_batches(self._twin(self.using, **self.options.given()))


class DatabaseClientTaskCourier(_DatabaseTaskCourier, TransactionalClient):
    __doc__ = f"{ClientTaskCourier.__doc__}\n{_DatabaseTaskCourier.__doc__}"
    _twin = DatabaseAsyncClientTaskCourier


class DatabaseWorkerTaskCourier(_DatabaseTaskCourier, WorkerTaskCourier):
    __doc__ = f"{WorkerTaskCourier.__doc__}\n{_DatabaseTaskCourier.__doc__}"
    _twin = DatabaseAsyncWorkerTaskCourier


class DatabaseClientWorkerTaskCourier(_DatabaseTaskCourier, TransactionalCourier):
    __doc__ = f"{ClientWorkerTaskCourier.__doc__}\n{_DatabaseTaskCourier.__doc__}"
    _twin = DatabaseAsyncClientWorkerTaskCourier
