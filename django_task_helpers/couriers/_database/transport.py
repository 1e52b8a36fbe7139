"""All that the database couriers ask for passes `Transport.perform` or its awaitable twin."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_task_helpers.couriers._database.asking import Query
from django_task_helpers.couriers._database.async_waiting import AsyncWaiting
from django_task_helpers.couriers._database.errors import FAILURES, InTransaction
from django_task_helpers.couriers._database.waiting import Rest, Waiting
from task_helpers.effects import Effect, Listen, Sleep
from task_helpers.forks import restart_after_fork


class Connections:
    """Of the thread that forks: both transports ask on them."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._inherited: list[BaseDatabaseWrapper] = []
        restart_after_fork(self)

    def restart(self) -> None:
        """
        A forked child opens a connection of its own. That of its parent is kept, unused: if it were
        closed here, the server would take the parent for gone.
        """
        for connection in connections.all(initialized_only=True):
            if connection.alias == self._using and connection.connection is not None:
                self._inherited.append(connection)
                del connections[self._using]


class Transport(Connections):
    """Performs the effects of the database store in the thread that asks, on its connection."""

    def __init__(self, using: str, waiting: Waiting) -> None:
        super().__init__(using)
        self._waiting = waiting

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Query):
            return performed(self._using, effect)
        if isinstance(effect, Listen):
            return self._waiting.listen(effect)
        if isinstance(effect, Rest):
            return self._waiting.rest(effect)
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        raise TypeError(f"{effect!r} is not an effect of the database store")


class AsyncTransport(Connections):
    """Queries go to the thread in which Django's own coroutines use the database."""

    def __init__(self, using: str, waiting: AsyncWaiting) -> None:
        super().__init__(using)
        self._waiting = waiting
        self._performed = sync_to_async(performed, thread_sensitive=True)

    async def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Query):
            return await self._performed(self._using, effect)
        if isinstance(effect, Listen):
            return await self._waiting.listen(effect)
        if isinstance(effect, Rest):
            return await self._waiting.rest(effect)
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.seconds)
        raise TypeError(f"{effect!r} is not an effect of the database store")


def performed(using: str, query: Query) -> Any:
    """A connection that broke is closed, for a new one next time, but not under a transaction."""
    try:
        return query.act()
    except FAILURES as error:
        connection = connections[using]
        if _is_callers(connection):
            raise InTransaction(error) from error
        connection.close_if_unusable_or_obsolete()
        raise


def _is_callers(connection: BaseDatabaseWrapper) -> bool:
    """Whether a transaction of the caller's is open, also one without an `atomic` block."""
    is_open = connection.connection is not None
    return connection.in_atomic_block or (is_open and not connection.autocommit)
