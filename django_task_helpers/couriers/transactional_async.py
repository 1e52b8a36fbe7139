"""
The couriers of `transactional` whose methods are coroutines. A transaction is the matter of the
thread in which Django runs what is not asynchronous: there it is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from functools import cached_property
from typing import Any, TypeVar, Unpack
from uuid import UUID

from asgiref.sync import sync_to_async

from django_task_helpers._discovery import say_if_unknown
from django_task_helpers.couriers._transactions import (
    Adding,
    add_on_commit,
    database_of,
    may_refuse,
    refuse_key,
    refuse_on_commit,
    refuse_wait,
)
from django_task_helpers.couriers.transactional import TransactionalClient
from task_helpers.couriers.base_async import (
    AsyncClientTaskCourier,
    AsyncClientWorkerTaskCourier,
    documented_as,
)
from task_helpers.couriers.options import AddOptions, CallOptions
from task_helpers.durations import Duration
from task_helpers.effects import Flow, Perform, run
from task_helpers.exceptions import TaskTimeout
from task_helpers.tasks import Task

T = TypeVar("T")


@documented_as(TransactionalClient)
class AsyncTransactionalClient(AsyncClientTaskCourier):
    using: str | None = None

    async def add_task_to_queue(
        self,
        queue_name: str,
        task_data: Any,
        *,
        on_commit: bool | str = False,
        **options: Unpack[AddOptions],
    ) -> UUID:
        if on_commit is False:
            return await super().add_task_to_queue(queue_name, task_data, **options)
        [task_id] = await self.bulk_add_tasks_to_queue(
            queue_name, [task_data], on_commit=on_commit, **options
        )
        return task_id

    async def bulk_add_tasks_to_queue(
        self,
        queue_name: str,
        tasks_data: Iterable[Any],
        *,
        on_commit: bool | str = False,
        **options: Unpack[AddOptions],
    ) -> list[UUID]:
        if on_commit is False or (alias := database_of(on_commit)) == self.using:
            return await super().bulk_add_tasks_to_queue(queue_name, tasks_data, **options)
        refuse_key(options)
        tasks = self._client.prepare(queue_name, tasks_data, **options)
        adding = Adding(
            queue_name, tasks.ids, lambda: run(self._client.send(tasks), self._in_thread)
        )
        await sync_to_async(add_on_commit)(alias, adding)
        return adding.task_ids

    async def call(
        self, queue_name: str, task_data: Any, *, timeout: Duration, **options: Unpack[CallOptions]
    ) -> Any:
        refuse_on_commit(options)
        if self.using is not None:
            await self._waitable(())
        return await super().call(queue_name, task_data, timeout=timeout, **options)

    async def get_task_result(
        self, queue_name: str, task_id: UUID | str, delete_data: bool = True
    ) -> Any:
        if may_refuse(None):
            await sync_to_async(refuse_wait)(None, [task_id])
        return await super().get_task_result(queue_name, task_id, delete_data)

    async def bulk_wait_for_task_results(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool = True,
        timeout: Duration | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        waitable = await self._waitable(task_ids)
        return await super().bulk_wait_for_task_results(
            queue_name, waitable, delete_data, timeout, return_exceptions
        )

    async def iter_task_results(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool = True,
        timeout: Duration | None = None,
    ) -> AsyncIterator[Task]:
        waitable = await self._waitable(task_ids)
        results: Any = super().iter_task_results(queue_name, waitable, delete_data, timeout)
        async with aclosing(results):
            async for task in results:
                yield task

    async def _run(self, flow: Flow[T]) -> T:
        try:
            return await super()._run(flow)
        except TaskTimeout as error:
            say_if_unknown(error)
            raise

    async def _waitable(self, task_ids: Iterable[UUID | str]) -> Iterable[UUID | str]:
        if not may_refuse(self.using):
            return task_ids
        task_ids = list(task_ids)
        await sync_to_async(refuse_wait)(self.using, task_ids)
        return task_ids

    @cached_property
    def _in_thread(self) -> Perform:
        """For what is added on a commit, in the thread of the transaction."""
        return self._blocking_perform()


class AsyncTransactionalCourier(AsyncTransactionalClient, AsyncClientWorkerTaskCourier):
    """Both sides."""
