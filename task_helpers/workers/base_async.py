"""The worker whose `perform_tasks` is a coroutine, with several batches at the same time."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any
from uuid import UUID

from task_helpers.counts import whole_number
from task_helpers.couriers.base import WorkerTaskCourier
from task_helpers.couriers.base_async import AsyncWorkerTaskCourier
from task_helpers.durations import seconds
from task_helpers.effects import arun
from task_helpers.exceptions import CourierError, CourierUnavailable
from task_helpers.plurals import counted
from task_helpers.tasks import Task
from task_helpers.workers._execution import as_exception
from task_helpers.workers._fields import AUTO
from task_helpers.workers._leases import LeaseKeeper
from task_helpers.workers._splitting import Raised
from task_helpers.workers._threads import Threads
from task_helpers.workers.base import IDLE_WAIT, OUTAGE_PAUSE, BaseWorker, Ended
from task_helpers.workers.context import running

logger = logging.getLogger("task_helpers.workers")


class BaseAsyncWorker(BaseWorker):
    """
    As `BaseWorker`, for work that waits: `perform_tasks` is a coroutine, and while a batch waits
    for something the next ones are taken and begun. A plain `perform_tasks` is called in a thread.

    - task_courier - blocking or awaitable: the worker makes the other one of it, since leases are
      renewed by a thread, whatever holds the event loop up.
    - max_concurrent_batches - how many batches are performed at the same time.
    """

    max_concurrent_batches: int = 10
    _awaits = True

    def __init__(
        self, task_courier: WorkerTaskCourier | AsyncWorkerTaskCourier, **fields: Any
    ) -> None:
        given: Any = task_courier
        if hasattr(given, "blocking"):
            task_courier = given.blocking()
        elif hasattr(given, "bulk_wait_for_tasks"):
            given = given.awaitable()
        super().__init__(task_courier, **fields)  # type: ignore[arg-type]
        self._courier: AsyncWorkerTaskCourier = given
        self._batches: dict[asyncio.Task[None], list[UUID]] = {}
        self._interrupted: list[UUID] = []  # to be given back
        self._threads = Threads(1, "")  # of this run

    # --- To be overridden; `setup` and `destroy` may be coroutines too

    async def perform_tasks(self, tasks: list[Task]) -> Any:
        """
        As that of `BaseWorker`. By default awaits `perform_single_task` for all tasks at the same
        time.
        """
        return await asyncio.gather(*map(self._one_result, tasks))

    async def perform_single_task(self, task: Task) -> Any:
        """Performs one task (task_id, task_data) and returns its result."""
        return super().perform_single_task(task)

    def call_in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a plain function, in a thread. Override it to have something around that."""
        return function(*arguments)

    async def wait_for_tasks(self) -> list[Task]:  # type: ignore[override]
        """Waits for tasks and takes them. [] when the worker is to stop, or there are none now."""
        plan = self._next_plan()
        try:
            return await self._courier.bulk_wait_for_tasks(
                self.queue_name,
                plan.max_count,
                0 if self.burst else min(IDLE_WAIT, plan.patience),
                plan.linger,
                min_tasks=self.min_tasks,
                max_weight=self.max_batch_weight,
                stopping=lambda: self._stopping,
                beside=self.max_concurrent_batches > 1,
            )
        except TimeoutError:
            return []

    async def return_task_results(self, tasks: list[Task]) -> None:  # type: ignore[override]
        """Returns [(task_id, task_result), ...] to the clients and acknowledges the tasks."""
        failed = tasks
        if not self.needs_result_returning:
            failed = [task for task in tasks if isinstance(task[1], Exception)]
            done = [task_id for task_id, result in tasks if not isinstance(result, Exception)]
            await self._courier.acknowledge_tasks(self.queue_name, done)
        await self._courier.bulk_return_task_results(self.queue_name, failed, self._policy())

    # --- Running

    def perform(self, total_iterations: int | None = None) -> None:
        """As that of `BaseWorker`, in an event loop of its own."""
        asyncio.run(self.perform_async(total_iterations))

    async def perform_async(self, total_iterations: int | None = None) -> None:
        """As `perform`, in the running event loop. Cancelled, it gives back what it has at hand."""
        self.check_fields()
        await _awaited(self.setup)
        try:
            await self._work_async(total_iterations)
        finally:
            await _awaited(self.destroy)

    def perform_iteration(self) -> bool:
        """Not for this worker, whose iterations overlap."""
        raise TypeError(f"{type(self).__name__} has no single iterations: use perform(1)")

    def check_fields(self) -> None:
        super().check_fields()
        several = whole_number(self.max_concurrent_batches, "max_concurrent_batches") > 1
        if several and self.linger == AUTO:
            raise ValueError('linger = "auto" needs max_concurrent_batches = 1')

    # --- The parts of these

    async def _work_async(self, total_iterations: int | None) -> None:
        self._name = name = f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        await self._courier.renew_leases(self.queue_name, name, ())  # raises when it is away
        concerns = await self._courier.get_store_concerns()
        for concern in (*self.get_field_concerns(), *concerns):
            logger.warning("%s", concern)
        limit = self.max_batch_seconds
        limit = None if limit is None else seconds(limit, "max_batch_seconds")
        self._leases = leases = LeaseKeeper(self.task_courier, self.queue_name, name, limit)
        self._threads = Threads(self.max_concurrent_batches, f"task_helpers {self.queue_name}")
        leases.start()
        try:
            await self._iterate_async(total_iterations)
        finally:
            leases.stop()
            self._threads.dismiss()
            await self._give_back_async()

    async def _iterate_async(self, total_iterations: int | None) -> None:
        """What ends it lets the batches at hand end; what interrupts it does not."""
        self.ended_by, begun = None, 0
        while (ended := self._end(begun, total_iterations)) is None:
            if len(self._batches) >= self.max_concurrent_batches:
                await self._next_end()
                continue
            was_idle = not self._batches  # before it looks: what still runs may add tasks
            tasks = await self._take_through_outages()
            if self._stopping:
                await self._release([task_id for task_id, _ in tasks])
            elif tasks:
                await self._begin_async(tasks)
                begun += 1
            elif self.burst:
                if was_idle:
                    ended = Ended.EMPTY
                    break
                await self._next_end()
        await self._until_idle()
        self.ended_by = ended

    async def _next_end(self) -> None:
        """Until a batch at hand has ended, or the worker may have been told to stop."""
        if self._batches:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait(self._batches, timeout=IDLE_WAIT, return_when=first)

    async def _take_through_outages(self) -> list[Task]:
        away = False
        while not self._stopping:
            try:
                if away:
                    await self._courier.get_queue_stats(self.queue_name, patient=False)
                    away = False
                    logger.warning("The store is back.")
                return await self.wait_for_tasks()
            except CourierUnavailable as error:
                away = True
                logger.warning("Waiting for the store to come back: %s", error)
            except CourierError as error:
                logger.error("%s. A WRONGTYPE is mended by repair_queue() of a courier.", error)
            await asyncio.sleep(OUTAGE_PAUSE)
        return []

    async def _begin_async(self, tasks: list[Task]) -> None:
        """Tasks that a worker died with are performed with nothing beside them: who is to blame?"""
        task_ids = [task_id for task_id, _ in tasks]
        suspects = self._courier.are_suspects(self.queue_name, task_ids)
        if suspects and self._leases:
            self._batch = task_ids
            self._leases.batch_waits(task_ids)
            await self._until_idle()
        batch = asyncio.create_task(self._perform_batch(tasks, task_ids))
        self._batches[batch], self._batch = task_ids, []
        batch.add_done_callback(self._settle)
        self.tasks_performed += len(tasks)
        self.iterations_performed += 1
        if suspects:
            await self._until_idle()

    async def _until_idle(self) -> None:
        while self._batches:
            await asyncio.wait(self._batches)

    def _settle(self, batch: asyncio.Task[None]) -> None:
        """
        What could not be returned is left to its lease. So is what was interrupted, unless the
        worker ends before: then it is given back.
        """
        task_ids = self._batches.pop(batch)
        if self._leases:
            self._leases.batch_ends(task_ids)
        error = None if batch.cancelled() else batch.exception()
        if batch.cancelled() or isinstance(error, KeyboardInterrupt):
            self._interrupted += task_ids
        elif error:
            number = counted(len(task_ids), "task")
            logger.error("The results of %s could not be returned: %s", number, error)

    async def _perform_batch(self, tasks: list[Task], task_ids: list[UUID]) -> None:
        begun = time.monotonic()
        if self._leases:
            self._leases.batch_begins(task_ids)
        results = await arun(self._new_batch().perform(tasks), self._attempt)
        if self._leases:
            self._leases.batch_waits(task_ids)
        await self._return_async(results)
        self._pacing.note(len(results), begun, time.monotonic())

    async def _attempt(self, run: Any) -> Any:
        """A `CancelledError` of the tasks' own is an error as all others, one of ours is not."""
        try:
            return run.results_of(await self._called(self.perform_tasks, run.tasks))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if _is_our_end(error):
                raise
            return Raised(error)

    async def _called(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Awaits a coroutine function, calls all else in a thread."""
        if inspect.iscoroutinefunction(function):
            return await function(*arguments)
        run = partial(copy_context().run, self.call_in_thread, function, *arguments)
        return await self._threads.call(run)

    async def _one_result(self, task: Task) -> Task:
        try:
            with running(self, task[0]):
                return task[0], await self._called(self.perform_single_task, task)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if _is_our_end(error):
                raise
            self._failures.note([task[0]], error)
            return task[0], as_exception(error)

    async def _return_async(self, results: list[Task]) -> None:
        """
        Results are worth more than a batch performed twice: they wait as long as the store is
        away. For a lease when the worker is to stop, or the store refuses them.
        """
        until = time.monotonic() + self._courier.options.lease_ms / 1000
        while True:
            try:
                return await self.return_task_results(results)
            except CourierError as error:
                hopeful = isinstance(error, CourierUnavailable) and not self._stopping
                if not hopeful and time.monotonic() > until:
                    raise
                number = counted(len(results), "result")
                logger.warning("Waiting for the store with %s: %s", number, error)
            await asyncio.sleep(OUTAGE_PAUSE)

    async def _give_back_async(self) -> None:
        """Interrupted batches too. When the store cannot be told, their lease runs out."""
        for batch in self._batches:
            batch.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)
        left, self._interrupted = self._interrupted, []
        self.tasks_performed -= len(left)
        await self._release(self._batch + left)
        try:
            await self._courier.say_farewell(self.queue_name, self._name)
        except CourierError as error:
            logger.warning("The store was not told that the worker stopped: %s", error)

    async def _release(self, task_ids: list[UUID]) -> None:
        """When the store cannot be told, the lease runs out and others get the tasks."""
        try:
            await self._courier.release_tasks(self.queue_name, task_ids)
        except CourierError as error:
            logger.warning("The store was not told what this worker gives back: %s", error)


async def _awaited(function: Callable[[], Any]) -> None:
    if inspect.isawaitable(value := function()):
        await value


def _is_our_end(error: BaseException) -> bool:
    """Whether the worker is being cancelled, and not a task that failed meanwhile."""
    current = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(current and current.cancelling())
