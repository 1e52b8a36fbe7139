"""Couriers over the project's own database, awaitable."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from django_task_helpers.conf import named_database
from django_task_helpers.couriers._database.asking import Asking
from django_task_helpers.couriers._database.async_waiting import AsyncWaiting
from django_task_helpers.couriers._database.store import DatabaseStore
from django_task_helpers.couriers._database.telling import Telling
from django_task_helpers.couriers._database.transport import AsyncTransport, Transport
from django_task_helpers.couriers._database.waiting import Waiting
from django_task_helpers.couriers.transactional_async import (
    AsyncTransactionalClient,
    AsyncTransactionalCourier,
)
from task_helpers.couriers.backends import set_attributes, split_options
from task_helpers.couriers.base_async import (
    AsyncClientTaskCourier,
    AsyncClientWorkerTaskCourier,
    AsyncTaskCourier,
    AsyncWorkerTaskCourier,
)
from task_helpers.durations import seconds
from task_helpers.effects import Perform


class _DatabaseAsyncTaskCourier(AsyncTaskCourier):
    """
    - using - the alias of the database. It is asked in the thread in which Django's own coroutines
      ask it, so each sees what the others did.
    - others - see `CourierOptions`. What is not known there becomes an attribute.
    """

    def __init__(self, using: str = DEFAULT_DB_ALIAS, **keywords: Any) -> None:
        options, attributes = split_options(keywords)
        named_database(using, "using")
        self._waiting = waiting = AsyncWaiting(using)
        asking = Asking(using, seconds(options.retry_seconds, "retry_seconds"))
        store = DatabaseStore(using, asking, waiting, Telling(using), options)
        super().__init__(store, AsyncTransport(using, waiting).perform, options)
        self.using: str | None = using
        self._using = using
        set_attributes(self, attributes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} using={self.using!r}>"

    def _blocking_perform(self) -> Perform:
        return Transport(self._using, Waiting(self._using)).perform

    async def close(self) -> None:
        self._waiting.close()


class DatabaseAsyncClientTaskCourier(_DatabaseAsyncTaskCourier, AsyncTransactionalClient):
    __doc__ = f"{AsyncClientTaskCourier.__doc__}\n{_DatabaseAsyncTaskCourier.__doc__}"


class DatabaseAsyncWorkerTaskCourier(_DatabaseAsyncTaskCourier, AsyncWorkerTaskCourier):
    __doc__ = f"{AsyncWorkerTaskCourier.__doc__}\n{_DatabaseAsyncTaskCourier.__doc__}"


class DatabaseAsyncClientWorkerTaskCourier(_DatabaseAsyncTaskCourier, AsyncTransactionalCourier):
    __doc__ = f"{AsyncClientWorkerTaskCourier.__doc__}\n{_DatabaseAsyncTaskCourier.__doc__}"
