"""
The awaitable couriers: the methods of `base`, as coroutines; those that ask no store stay plain.

Every wait is of the coroutine alone, the event loop goes on. One that is cancelled while it waits
leaves nothing behind: what it was about to take goes back to the queue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar, Unpack
from uuid import UUID

from task_helpers.couriers import base
from task_helpers.couriers._client_flows import ClientFlows
from task_helpers.couriers._upkeep_flows import UpkeepFlows
from task_helpers.couriers._worker_flows import WorkerFlows
from task_helpers.couriers.options import AddOptions, CallOptions, CourierOptions
from task_helpers.couriers.stats import QueueStats
from task_helpers.couriers.store import Store
from task_helpers.durations import Duration
from task_helpers.effects import Effect, Flow, Perform, arun
from task_helpers.progress import Progress
from task_helpers.retries import RetryPolicy
from task_helpers.tasks import DeadLetter, Task, TaskStatus

T = TypeVar("T")
C = TypeVar("C", bound=type)

AsyncPerform = Callable[[Effect], Awaitable[Any]]


def documented_as(face: type) -> Callable[[C], C]:
    """Gives the class and its methods the docstrings of those that do the same."""

    def document(kind: C) -> C:
        kind.__doc__ = kind.__doc__ or face.__doc__
        for name, member in vars(kind).items():
            if callable(member) and not member.__doc__:
                member.__doc__ = getattr(getattr(face, name, None), "__doc__", None)
        return kind

    return document


@documented_as(base.TaskCourier)
class AsyncTaskCourier:
    works_across_processes: ClassVar[bool] = True

    def __init__(self, store: Store, perform: AsyncPerform, options: CourierOptions) -> None:
        self.options = options
        self._store = store
        self._perform = perform
        self._upkeep = UpkeepFlows(store, options)

    async def close(self) -> None:
        """Closes the connections of the running loop; using the courier again opens new ones."""

    def _blocking_perform(self) -> Perform:
        raise TypeError(f"there is no blocking courier for a {type(self).__name__}")

    async def _run(self, flow: Flow[T]) -> T:
        return await arun(flow, self._perform)

    async def get_queue_stats(self, queue_name: str, *, patient: bool = True) -> QueueStats:
        return await self._run(self._upkeep.stats(queue_name, patient))

    async def get_dead_letters(self, queue_name: str, max_count: int = 100) -> list[DeadLetter]:
        return await self._run(self._upkeep.dead_letters(queue_name, max_count))

    async def requeue_dead_letters(self, queue_name: str, task_ids: Iterable[UUID | str]) -> int:
        return await self._run(self._upkeep.requeue(queue_name, task_ids))

    async def delete_dead_letters(self, queue_name: str, task_ids: Iterable[UUID | str]) -> int:
        return await self._run(self._upkeep.delete(queue_name, task_ids))

    async def repair_queue(self, queue_name: str) -> int:
        return await self._run(self._upkeep.repair(queue_name))


@documented_as(base.ClientTaskCourier)
class AsyncClientTaskCourier(AsyncTaskCourier):
    """Adds tasks and gets their results. Safe to share between coroutines, of several loops too."""

    def __init__(self, store: Store, perform: AsyncPerform, options: CourierOptions) -> None:
        super().__init__(store, perform, options)
        self._client = ClientFlows(store, options)

    async def add_task_to_queue(
        self, queue_name: str, task_data: Any, **options: Unpack[AddOptions]
    ) -> UUID:
        return (await self._run(self._client.add(queue_name, [task_data], **options)))[0]

    async def bulk_add_tasks_to_queue(
        self, queue_name: str, tasks_data: Iterable[Any], **options: Unpack[AddOptions]
    ) -> list[UUID]:
        return await self._run(self._client.add(queue_name, tasks_data, **options))

    async def call(
        self,
        queue_name: str,
        task_data: Any,
        *,
        timeout: Duration,
        **options: Unpack[CallOptions],
    ) -> Any:
        return await self._run(self._client.call(queue_name, task_data, timeout, **options))

    async def get_task_result(
        self, queue_name: str, task_id: UUID | str, delete_data: bool = True
    ) -> Any:
        return await self._run(self._client.get(queue_name, task_id, delete_data))

    async def wait_for_task_result(
        self,
        queue_name: str,
        task_id: UUID | str,
        delete_data: bool = True,
        timeout: Duration | None = None,
    ) -> Any:
        [result] = await self.bulk_wait_for_task_results(
            queue_name, [task_id], delete_data, timeout
        )
        return result

    async def bulk_wait_for_task_results(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool = True,
        timeout: Duration | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        return await self._run(
            self._client.wait(queue_name, task_ids, delete_data, timeout, return_exceptions)
        )

    async def iter_task_results(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool = True,
        timeout: Duration | None = None,
    ) -> AsyncIterator[Task]:
        with self._client.completing(queue_name, task_ids, delete_data, timeout) as some:
            while results := await self._run(some()):
                for task in results:
                    yield task

    async def check_for_done(self, queue_name: str, task_id: UUID | str) -> bool:
        return await self._run(self._client.done(queue_name, task_id))

    async def get_task_status(self, queue_name: str, task_id: UUID | str) -> TaskStatus:
        return await self._run(self._client.status(queue_name, task_id))

    async def cancel_task(self, queue_name: str, task_id: UUID | str) -> bool:
        return await self._run(self._client.cancel(queue_name, task_id))


@documented_as(base.WorkerTaskCourier)
class AsyncWorkerTaskCourier(AsyncTaskCourier):
    def __init__(self, store: Store, perform: AsyncPerform, options: CourierOptions) -> None:
        super().__init__(store, perform, options)
        self._worker = WorkerFlows(store, options)

    def blocking(self) -> base.WorkerTaskCourier:
        """
        A blocking courier over the same store that holds the same batches: what the one takes, the
        other may renew and return, as from a thread beside the event loop. `TypeError` when this
        backend has none.
        """
        face = base.WorkerTaskCourier(self._store, self._blocking_perform(), self.options)
        face._worker = self._worker
        return face

    @property
    def worker_id(self) -> bytes:
        return self._worker.worker_id

    @worker_id.setter
    def worker_id(self, worker_id: bytes) -> None:
        self._worker.worker_id = worker_id

    async def get_task(self, queue_name: str) -> Task:
        return await self._run(self._worker.get(queue_name))

    async def get_tasks(self, queue_name: str, max_count: int = 100) -> list[Task]:
        return await self._run(self._worker.take(queue_name, max_count))

    async def wait_for_task(self, queue_name: str, timeout: Duration | None = None) -> Task:
        return (await self.bulk_wait_for_tasks(queue_name, 1, timeout))[0]

    async def bulk_wait_for_tasks(
        self,
        queue_name: str,
        max_count: int,
        timeout: Duration | None = None,
        linger: Duration = 0,
        *,
        min_tasks: int | None = None,
        max_weight: int | None = None,
        stopping: Callable[[], bool] | None = None,
        beside: bool = False,
    ) -> list[Task]:
        return await self._run(
            self._worker.wait(
                queue_name,
                max_count,
                timeout,
                linger,
                min_tasks,
                stopping,
                max_weight=max_weight,
                beside=beside,
            )
        )

    async def return_task_result(
        self, queue_name: str, task_id: UUID | str, task_result: Any
    ) -> None:
        await self._run(self._worker.give(queue_name, [(task_id, task_result)]))

    async def bulk_return_task_results(
        self,
        queue_name: str,
        tasks: Iterable[Task],
        retry: RetryPolicy | None = None,
        *,
        soon: bool = False,
    ) -> None:
        await self._run(self._worker.give(queue_name, tasks, retry, soon))

    async def acknowledge_tasks(
        self, queue_name: str, task_ids: Iterable[UUID], *, soon: bool = False
    ) -> None:
        await self._run(self._worker.acknowledge(queue_name, task_ids, soon))

    async def renew_leases(
        self, queue_name: str, worker_name: str, task_ids: Iterable[UUID] | None = None
    ) -> None:
        await self._run(self._worker.renew(queue_name, worker_name, task_ids))

    def are_suspects(self, queue_name: str, task_ids: Iterable[UUID]) -> bool:
        return self._worker.suspects(queue_name, task_ids)

    async def set_progress(self, queue_name: str, progress: Mapping[UUID, Progress]) -> None:
        await self._run(self._worker.progress(queue_name, progress))

    def get_attempt(self, queue_name: str, task_id: UUID) -> int:
        return self._worker.attempt(queue_name, task_id)

    async def reclaim_tasks_of(self, queue_name: str, worker_id: bytes) -> int:
        return await self._run(self._worker.bury(queue_name, worker_id))

    async def get_store_concerns(self) -> list[str]:
        return await self._run(self._worker.concerns())

    async def release_tasks(self, queue_name: str, task_ids: Iterable[UUID] | None = None) -> None:
        await self._run(self._worker.release(queue_name, task_ids))

    async def say_farewell(self, queue_name: str, worker_name: str) -> None:
        await self._run(self._worker.farewell(queue_name, worker_name))


@documented_as(base.ClientWorkerTaskCourier)
class AsyncClientWorkerTaskCourier(AsyncClientTaskCourier, AsyncWorkerTaskCourier):
    pass
