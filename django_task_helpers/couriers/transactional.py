"""
Couriers that know Django's transactions. What `couriers["alias"]` gives is one of these, made from
the class that the settings name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, Unpack
from uuid import UUID

from django_task_helpers._discovery import say_if_unknown
from django_task_helpers.couriers._transactions import (
    Adding,
    add_on_commit,
    database_of,
    may_refuse,
    refuse_call,
    refuse_key,
    refuse_on_commit,
    refuse_wait,
)
from task_helpers.couriers.base import ClientTaskCourier, ClientWorkerTaskCourier
from task_helpers.couriers.options import AddOptions, CallOptions
from task_helpers.durations import Duration
from task_helpers.effects import Flow
from task_helpers.exceptions import TaskTimeout
from task_helpers.tasks import Task

T = TypeVar("T")


class TransactionalClient(ClientTaskCourier):
    """
    Every method that waits raises `WaitInTransactionError` for a task that the open transaction of
    this thread is to add.

    - using - alias of the database that holds the tasks, for which no wait is possible inside of
      a transaction on it; None: they are in none.
    """

    using: str | None = None

    def add_task_to_queue(
        self,
        queue_name: str,
        task_data: Any,
        *,
        on_commit: bool | str = False,
        **options: Unpack[AddOptions],
    ) -> UUID:
        """
        As `ClientTaskCourier.add_task_to_queue`, and:

        - on_commit - True returns the id at once and adds the task when the transaction commits,
          never when it rolls back; outside of a transaction it is added at once. An alias means a
          transaction on that database, True one on the default database. Delays and deadlines
          begin with the commit. A `key` is a `ValueError`, unless the tasks are in that database.

        What cannot be sent is refused at once. What the store raises comes from where the
        transaction ends, which is committed all the same.
        """
        if on_commit is False:
            return super().add_task_to_queue(queue_name, task_data, **options)
        [task_id] = self.bulk_add_tasks_to_queue(
            queue_name, [task_data], on_commit=on_commit, **options
        )
        return task_id

    def bulk_add_tasks_to_queue(
        self,
        queue_name: str,
        tasks_data: Iterable[Any],
        *,
        on_commit: bool | str = False,
        **options: Unpack[AddOptions],
    ) -> list[UUID]:
        """As `add_task_to_queue` for many at once; their ids in the same order."""
        if on_commit is False or (alias := database_of(on_commit)) == self.using:
            return super().bulk_add_tasks_to_queue(queue_name, tasks_data, **options)
        refuse_key(options)
        tasks = self._client.prepare(queue_name, tasks_data, **options)
        adding = Adding(queue_name, tasks.ids, lambda: self._run(self._client.send(tasks)))
        add_on_commit(alias, adding)
        return adding.task_ids

    def call(
        self, queue_name: str, task_data: Any, *, timeout: Duration, **options: Unpack[CallOptions]
    ) -> Any:
        refuse_on_commit(options)
        self._waitable(())
        refuse_call(self.using)
        return super().call(queue_name, task_data, timeout=timeout, **options)

    def get_task_result(
        self, queue_name: str, task_id: UUID | str, delete_data: bool = True
    ) -> Any:
        if may_refuse(None):
            refuse_wait(None, [task_id])
        return super().get_task_result(queue_name, task_id, delete_data)

    def bulk_wait_for_task_results(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool = True,
        timeout: Duration | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        return super().bulk_wait_for_task_results(
            queue_name, self._waitable(task_ids), delete_data, timeout, return_exceptions
        )

    def iter_task_results(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool = True,
        timeout: Duration | None = None,
    ) -> Iterator[Task]:
        return super().iter_task_results(queue_name, self._waitable(task_ids), delete_data, timeout)

    def _run(self, flow: Flow[T]) -> T:
        try:
            return super()._run(flow)
        except TaskTimeout as error:
            say_if_unknown(error)
            raise

    def _waitable(self, task_ids: Iterable[UUID | str]) -> Iterable[UUID | str]:
        if not may_refuse(self.using):
            return task_ids
        task_ids = list(task_ids)
        refuse_wait(self.using, task_ids)
        return task_ids


class TransactionalCourier(TransactionalClient, ClientWorkerTaskCourier):
    """Both sides."""
