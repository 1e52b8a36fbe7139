"""The worker whose `perform_tasks` is a coroutine, with several batches at the same time."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any
from uuid import UUID

from task_helpers.counts import whole_number
from task_helpers.couriers.base import WorkerTaskCourier
from task_helpers.couriers.base_async import AsyncWorkerTaskCourier
from task_helpers.effects import arun
from task_helpers.exceptions import CourierError
from task_helpers.plurals import counted
from task_helpers.tasks import Task
from task_helpers.workers._execution import as_exception
from task_helpers.workers._fields import AUTO
from task_helpers.workers._memory import collector
from task_helpers.workers._names import check_private
from task_helpers.workers._outages import Outage, ReturnOutage
from task_helpers.workers._shift import AsyncShift
from task_helpers.workers._splitting import Raised
from task_helpers.workers._threads import Threads
from task_helpers.workers.base import IDLE_WAIT, BaseWorker, Ended
from task_helpers.workers.context import running

logger = logging.getLogger("task_helpers.workers")


class BaseAsyncWorker(BaseWorker):
    """
    As `BaseWorker`, for work that waits: `perform_tasks` is a coroutine, and while a batch waits
    for something the next ones are taken and begun. A plain `perform_tasks` is called in a thread,
    plain `setup` and `destroy` in another one.

    - task_courier - blocking or awaitable: the worker makes the other one of it, since leases are
      renewed by a thread, whatever holds the event loop up.
    - max_concurrent_batches - how many batches are performed at the same time.
    """

    max_concurrent_batches: int = 10
    _awaits = True
    _shift: AsyncShift
    _shift_type = AsyncShift

    def __init__(
        self, task_courier: WorkerTaskCourier | AsyncWorkerTaskCourier, **fields: Any
    ) -> None:
        given: Any = task_courier
        if hasattr(given, "blocking"):
            task_courier = given.blocking()
        elif hasattr(given, "bulk_wait_for_tasks"):
            given = given.awaitable()
        super().__init__(task_courier, **fields)  # type: ignore[arg-type]
        self._shift.courier = given

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
            return await self._shift.courier.bulk_wait_for_tasks(
                self.queue_name,
                plan.max_count,
                0 if self.burst else min(IDLE_WAIT, plan.patience),
                plan.linger,
                min_tasks=self.min_tasks,
                max_weight=self.max_batch_weight,
                stopping=lambda: self._shift.stopping,
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
            await self._shift.courier.acknowledge_tasks(self.queue_name, done)
        await self._shift.courier.bulk_return_task_results(self.queue_name, failed, self._policy())

    # --- Running

    def perform(self, total_iterations: int | None = None) -> None:
        """As that of `BaseWorker`, in an event loop of its own."""
        asyncio.run(self.perform_async(total_iterations))

    async def perform_async(self, total_iterations: int | None = None) -> None:
        """As `perform`, in the running event loop. Cancelled, it gives back what it has at hand."""
        self.check_fields()
        edge = Threads(1, f"task_helpers setup {self.queue_name}")  # no stuck task holds it up
        try:
            await self._called(self.setup, threads=edge)
            try:
                check_private(self)
                with collector.patient(self.max_tasks_per_iteration):
                    await self._work_async(total_iterations)
            finally:
                await self._called(self.destroy, threads=edge)
        finally:
            edge.dismiss()

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
        leases, shift = self._begin_shift(), self._shift
        await shift.courier.renew_leases(self.queue_name, shift.name, ())  # raises when away
        concerns = await shift.courier.get_store_concerns()
        for concern in (*self.get_field_concerns(), *concerns):
            logger.warning("%s", concern)
        shift.threads = Threads(self.max_concurrent_batches, f"task_helpers {self.queue_name}")
        leases.start()
        try:
            await self._iterate_async(total_iterations)
        finally:
            leases.stop()
            shift.threads.dismiss()
            await self._give_back_async()

    async def _iterate_async(self, total_iterations: int | None) -> None:
        """What ends it lets the batches at hand end; what interrupts it does not."""
        self.ended_by, begun = None, 0
        while (ended := self._end(begun, total_iterations)) is None:
            if len(self._shift.batches) >= self.max_concurrent_batches:
                await self._next_end()
                continue
            was_idle = not self._shift.batches  # before it looks: what still runs may add tasks
            tasks = await self._take_through_outages()
            if self._shift.stopping:
                await self._release([task_id for task_id, _ in tasks])
            elif tasks:
                begun += await self._begin_async(tasks)
            elif self.burst:
                if was_idle:
                    ended = Ended.NO_TASK
                    break
                await self._next_end()
        await self._until_idle()
        self.ended_by = ended

    async def _next_end(self) -> None:
        """Until a batch at hand has ended, or the worker may have been told to stop."""
        if self._shift.batches:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait(self._shift.batches, timeout=IDLE_WAIT, return_when=first)

    async def _take_through_outages(self) -> list[Task]:
        outage = Outage()
        while not self._shift.stopping:
            try:
                if outage.away:
                    await self._shift.courier.get_queue_stats(self.queue_name, patient=False)
                    outage.is_over()
                return await self.wait_for_tasks()
            except CourierError as error:
                pause = outage.met(error)
            await asyncio.sleep(pause)
        return []

    async def _begin_async(self, tasks: list[Task]) -> bool:
        """
        Tasks that a worker died with are performed with nothing beside them: who is to blame?
        False when they were given back.
        """
        task_ids = [task_id for task_id, _ in tasks]
        suspects = self._shift.courier.are_suspects(self.queue_name, task_ids)
        if suspects and not await self._is_alone(task_ids):
            return False
        batch = asyncio.create_task(self._perform_batch(tasks, task_ids))
        self._shift.batches[batch], self._shift.batch = task_ids, []
        batch.add_done_callback(self._settle)
        self.tasks_performed += len(tasks)
        self.iterations_performed += 1
        if suspects:
            await self._until_idle()
        return True

    async def _is_alone(self, task_ids: list[UUID]) -> bool:
        """Waits until nothing else is at hand; gives the tasks back when the worker is to stop."""
        shift = self._shift
        shift.batch = task_ids
        shift.held.waits(task_ids)
        while shift.batches and not shift.stopping:
            await self._next_end()
        if shift.stopping:
            await self._release(shift.dropped())
        return not shift.stopping

    async def _until_idle(self) -> None:
        while self._shift.batches:
            await asyncio.wait(self._shift.batches)

    def _settle(self, batch: asyncio.Task[None]) -> None:
        """
        What could not be returned is left to its lease. So is what was interrupted, unless the
        worker ends before: then it is given back.
        """
        task_ids = self._shift.batches.pop(batch)
        self._shift.held.ends(task_ids)
        error = None if batch.cancelled() else batch.exception()
        if batch.cancelled() or isinstance(error, KeyboardInterrupt):
            self._shift.interrupted += task_ids
        elif error:
            number = counted(len(task_ids), "task")
            text = "The results of %s in queue %s could not be returned: %s"
            logger.error(text, number, self.queue_name, error)

    async def _perform_batch(self, tasks: list[Task], task_ids: list[UUID]) -> None:
        begun = time.monotonic()
        self._shift.held.begins(task_ids)
        results = await arun(self._new_batch().perform(tasks), self._attempt)
        self._shift.held.waits(task_ids)
        await self._return_async(results)
        if self.linger == AUTO:
            self._shift.pacing.note(len(results), begun, time.monotonic())

    async def _attempt(self, run: Any) -> Any:
        """A `CancelledError` of the tasks' own is an error as all others, one of ours is not."""
        try:
            return await self._results_of(run)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if _is_our_end(error):
                raise
            return Raised(error)

    async def _results_of(self, run: Any) -> Any:
        if inspect.iscoroutinefunction(self.perform_tasks):
            return run.results_of(await self.perform_tasks(run.tasks))
        return await self._called(self._plain_results_of, run)

    def _plain_results_of(self, run: Any) -> Any:
        """In the thread: a generator does its work where it is iterated over."""
        return run.results_of(self.perform_tasks(run.tasks))

    async def _called(
        self, function: Callable[..., Any], *arguments: Any, threads: Threads | None = None
    ) -> Any:
        """Awaits a coroutine function, calls all else in a thread."""
        if inspect.iscoroutinefunction(function):
            return await function(*arguments)
        run = partial(copy_context().run, self.call_in_thread, function, *arguments)
        return await (threads or self._shift.threads).call(run)

    async def _one_result(self, task: Task) -> Task:
        try:
            with running(self, task[0]):
                return task[0], await self._called(self.perform_single_task, task)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if _is_our_end(error):
                raise
            self._shift.failures.note([task[0]], error)
            return task[0], as_exception(error)

    async def _return_async(self, results: list[Task]) -> None:
        outage = ReturnOutage(len(results), self.task_courier.options.lease_ms)
        while True:
            try:
                await self.return_task_results(results)
                return outage.is_over()
            except CourierError as error:
                pause = outage.met(error, self._shift.stopping)
            await asyncio.sleep(pause)

    async def _give_back_async(self) -> None:
        """Interrupted batches too. When the store cannot be told, their lease runs out."""
        shift = self._shift
        for batch in shift.batches:
            batch.cancel()
        await asyncio.gather(*shift.batches, return_exceptions=True)
        left, shift.interrupted = shift.interrupted, []
        self.tasks_performed -= len(left)
        await self._release(shift.batch + left)
        try:
            await self._shift.courier.say_farewell(self.queue_name, self._shift.name)
        except CourierError as error:
            logger.warning("The store was not told that the worker stopped: %s", error)

    async def _release(self, task_ids: list[UUID]) -> None:
        """When the store cannot be told, the lease runs out and others get the tasks."""
        try:
            await self._shift.courier.release_tasks(self.queue_name, task_ids)
        except CourierError as error:
            logger.warning("The store was not told what this worker gives back: %s", error)


def _is_our_end(error: BaseException) -> bool:
    """Whether the worker is being cancelled, and not a task that failed meanwhile."""
    current = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(current and current.cancelling())
