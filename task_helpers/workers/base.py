"""The worker that performs many tasks in one go."""

from __future__ import annotations

import enum
import inspect
import itertools
import logging
import math
import os
import socket
import time
from contextlib import suppress
from typing import Any, Never
from uuid import UUID

from task_helpers.couriers.base import WorkerTaskCourier
from task_helpers.durations import seconds
from task_helpers.exceptions import CourierError
from task_helpers.progress import Progress
from task_helpers.tasks import Task
from task_helpers.workers._execution import as_exception
from task_helpers.workers._failures import Failures
from task_helpers.workers._fields import AUTO, WorkerFields
from task_helpers.workers._held import Held
from task_helpers.workers._leases import LeaseKeeper
from task_helpers.workers._memory import collector, resident_mib
from task_helpers.workers._names import check_private
from task_helpers.workers._outages import Outage, ReturnOutage
from task_helpers.workers._pacing import Plan
from task_helpers.workers._progress import ProgressWriter
from task_helpers.workers._shift import Shift
from task_helpers.workers._splitting import Batch, perform_batch
from task_helpers.workers.context import running

logger = logging.getLogger("task_helpers.workers")

IDLE_WAIT = 0.25
"""Seconds in which an idle worker notices that it is to stop."""


class Ended(enum.StrEnum):
    """What ended a worker."""

    STOPPED = "stopped"
    NO_TASK = "no task to take now"
    ITERATIONS = "all iterations are done"
    MAX_TASKS = "max_tasks are done"
    MAX_RSS = "max_rss is exceeded"


def names_begin(pid: int) -> str:
    """With what the names begin of workers in this process of this host."""
    return f"{socket.gethostname()}:{pid}:"


class BaseWorker(WorkerFields):
    """
    Takes up to `max_tasks_per_iteration` tasks, performs them together, returns each its result.

    Override `perform_tasks` (or `perform_single_task`). The class fields, see `WorkerFields`, may
    also be given to the constructor, by keyword.

    - ended_by - what ended `perform`.
    """

    _shift_type = Shift

    def __init__(self, task_courier: WorkerTaskCourier, **fields: Any) -> None:
        self._set_fields(fields)
        if not hasattr(task_courier, "bulk_wait_for_tasks"):  # not isinstance: a proxy is fine
            raise TypeError(
                f"a {type(task_courier).__name__} takes no tasks: give {type(self).__name__} a "
                "courier for workers, such as RedisWorkerTaskCourier"
            )
        if inspect.iscoroutinefunction(task_courier.bulk_wait_for_tasks):
            raise TypeError(
                f"a {type(task_courier).__name__} is awaitable: use BaseAsyncWorker, or give "
                f"{type(self).__name__} a blocking courier"
            )
        self.task_courier = task_courier
        self.tasks_performed = 0
        self.iterations_performed = 0
        self.ended_by: Ended | None = None
        progress, failures = ProgressWriter(task_courier), Failures(self.get_attempt)
        self.__shift = self._shift_type(progress, failures)

    # --- To be overridden

    def setup(self) -> None:
        """Called once before the first iteration."""

    def destroy(self) -> None:
        """Called once after the last iteration, however it ended."""

    def perform_tasks(self, tasks: list[Task]) -> Any:
        """
        Performs a batch [(task_id, task_data), ...] and returns [(task_id, task_result), ...].

        The order does not matter. An `Exception` as result fails that task alone; a raised one
        fails the batch, see `on_batch_error`. By default calls `perform_single_task` for each task.
        """
        return [(task[0], self._result_or_error(task)) for task in tasks]

    def perform_single_task(self, task: Task) -> Any:
        """Performs one task (task_id, task_data) and returns its result."""
        raise NotImplementedError(
            f"{type(self).__name__} must override perform_tasks or perform_single_task"
        )

    def wait_for_tasks(self) -> list[Task]:
        """Waits for tasks and takes them. [] when the worker is to stop, or `burst` and no task."""
        shift = self._shift
        while not shift.stopping:
            plan = self._next_plan()
            try:
                tasks = self.task_courier.bulk_wait_for_tasks(
                    self.queue_name,
                    plan.max_count,
                    0 if self.burst else min(IDLE_WAIT, plan.patience),
                    plan.linger,
                    min_tasks=self.min_tasks,
                    max_weight=self.max_batch_weight,
                    stopping=lambda: shift.stopping,
                    beside=shift.beside,
                )
                shift.full = 1 < len(tasks) == plan.max_count and not plan.linger
                return tasks
            except TimeoutError:
                if self.burst:
                    break
        return []

    def return_task_results(self, tasks: list[Task]) -> None:
        """Returns [(task_id, task_result), ...] to the clients and acknowledges the tasks."""
        if self.needs_result_returning:
            give, hurry = self.task_courier.bulk_return_task_results, self._shift.hurry
            give(self.queue_name, tasks, self._policy(), **hurry)
        else:
            self._acknowledge(tasks)

    # --- To be called while tasks are performed

    def set_progress(self, task_id: UUID, fraction: float | None, message: str = "") -> None:
        """As `Context.set_progress`, for `perform_tasks` with many tasks at once."""
        progress = Progress(None if fraction is None else float(fraction), str(message))
        self._shift.progress.say(self.queue_name, task_id, progress)

    def get_attempt(self, task_id: UUID) -> int:
        """Which execution of a task at hand the present one is; 1: the first."""
        return self.task_courier.get_attempt(self.queue_name, task_id)

    # --- Running

    def perform(self, total_iterations: int | None = None) -> None:
        """
        Works until it has done so many iterations (None: any number), `stop` was called, or
        `burst` or `max_tasks` end it. One iteration takes, performs and returns one batch. Does
        nothing after `stop`.

        Raises `CourierUnavailable` when the store cannot be reached at the start; later on it
        waits until the store is back. Whatever ends it, tasks that it holds are given back.
        """
        self.check_fields()
        self.setup()
        try:
            check_private(self)
            with collector.patient(self.max_tasks_per_iteration):
                self._work(total_iterations)
        finally:
            self.destroy()

    def stop(self) -> None:
        """Ends `perform` after the batch at hand. Safe to call from signal handlers and threads."""
        self._shift.stopping = True

    def perform_iteration(self) -> bool:
        """One iteration. False when the worker is to end: stopped, or in a burst and no task."""
        tasks = self.wait_for_tasks()
        if not tasks:
            return not (self.burst or self._shift.stopping)
        begun, shift = time.monotonic(), self._shift
        shift.takes(tasks)
        results = self._perform(tasks)
        shift.held.waits(shift.batch)
        shift.hurries = shift.goes_on and shift.full and not shift.stopping
        self._return(results)
        shift.dropped()
        if self.linger == AUTO:
            shift.pacing.note(len(results), begun, time.monotonic())
        self.tasks_performed += len(results)
        self.iterations_performed += 1
        return True

    # --- The parts of these

    @property
    def _shift(self) -> Shift:
        return self.__shift

    @_shift.setter
    def _shift(self, value: Never) -> None:
        raise AttributeError(
            f"rename _shift of {type(self).__name__}: workers use this name themselves"
        )

    def _work(self, total_iterations: int | None) -> None:
        leases = self._begin_shift()
        self.task_courier.renew_leases(self.queue_name, self._shift.name, ())  # raises when away
        for concern in (*self.get_field_concerns(), *self.task_courier.get_store_concerns()):
            logger.warning("%s", concern)
        leases.start()
        try:
            self._iterate(total_iterations)
        except Exception:
            self._shift.batch = []  # left to its lease, as after a crash: it may be the cause
            raise
        finally:
            self._shift.goes_on = False
            leases.stop()
            self._give_back()

    def _begin_shift(self) -> LeaseKeeper:
        shift, limit = self._shift, self.max_batch_seconds
        shift.name = f"{names_begin(os.getpid())}{id(self):x}"
        shift.held = Held()
        limit = None if limit is None else seconds(limit, "max_batch_seconds")
        return LeaseKeeper(self.task_courier, self.queue_name, shift.name, shift.held, limit)

    def _give_back(self) -> None:
        """When the store cannot be told, the lease runs out and others get the tasks."""
        try:
            self.task_courier.release_tasks(self.queue_name, self._shift.batch)
            self.task_courier.say_farewell(self.queue_name, self._shift.name)
        except CourierError as error:
            logger.warning("The store was not told that the worker stopped: %s", error)

    def _iterate(self, total_iterations: int | None) -> None:
        self.ended_by = None
        self._shift.goes_on = self._does_nothing_in_between()
        for done in itertools.count():
            self.ended_by = self._end(done, total_iterations) or self._perform_through_outages()
            if self.ended_by:
                break

    def _does_nothing_in_between(self) -> bool:
        """A class that returns or waits in its own way may look for results, or change them."""
        own = type(self)
        return (
            own.return_task_results is BaseWorker.return_task_results
            and own.wait_for_tasks is BaseWorker.wait_for_tasks
        )

    def _perform(self, tasks: list[Task]) -> list[Task]:
        """Exactly one result per task, whatever `perform_tasks` does."""
        return perform_batch(self.perform_tasks, tasks, self._new_batch())

    def _new_batch(self) -> Batch:
        needs_results, on_error = self.needs_result_returning, self.on_batch_error
        return Batch(needs_results, self.queue_name, on_error, self._shift.failures)

    def _end(self, done: int, total_iterations: int | None) -> Ended | None:
        """What ends the worker now, between two batches; None: it goes on."""
        if self._shift.stopping:
            return Ended.STOPPED
        if done == total_iterations:
            return Ended.ITERATIONS
        if self._tasks_left() < 1:
            return Ended.MAX_TASKS
        if done and self.max_rss is not None and resident_mib() > self.max_rss:
            return Ended.MAX_RSS
        return None

    def _perform_through_outages(self) -> Ended | None:
        """One iteration, whatever becomes of the store; what it ended, or None."""
        outage = Outage()
        while not self._shift.stopping:
            try:
                if outage.away:
                    self.task_courier.get_queue_stats(self.queue_name, patient=False)
                    outage.is_over()
                return None if self.perform_iteration() or self._shift.stopping else Ended.NO_TASK
            except CourierError as error:
                pause = outage.met(error)
            self._abandon_batch()
            time.sleep(pause)
        return Ended.STOPPED

    def _abandon_batch(self) -> None:
        """Given back, or left to its lease, which this worker then renews no more."""
        with suppress(CourierError):
            self.task_courier.release_tasks(self.queue_name, self._shift.dropped())

    def _return(self, results: list[Task]) -> None:
        outage = ReturnOutage(len(results), self.task_courier.options.lease_ms)
        while True:
            try:
                self.return_task_results(results)
                return outage.is_over()
            except CourierError as error:
                pause = outage.met(error, self._shift.stopping)
            time.sleep(pause)

    def _acknowledge(self, tasks: list[Task]) -> None:
        done, failed = [task_id for task_id, _ in tasks], _failed_of(tasks)
        if failed:
            done = [task_id for task_id, result in tasks if not isinstance(result, Exception)]
            self.task_courier.bulk_return_task_results(self.queue_name, failed, self._policy())
        self.task_courier.acknowledge_tasks(self.queue_name, done, **self._shift.hurry)

    def _next_plan(self) -> Plan:
        """What the next batch may be."""
        if not isinstance(self.linger, str):
            return Plan(self._next_count(), seconds(self.linger, "linger"))
        target = seconds(self.target_latency or 0, "target_latency")
        return self._shift.pacing.plan(self._next_count(), target, time.monotonic())

    def _next_count(self) -> int:
        """How many tasks the next batch may have."""
        return int(min(self.max_tasks_per_iteration, self._tasks_left()))

    def _tasks_left(self) -> float:
        return math.inf if self.max_tasks is None else self.max_tasks - self.tasks_performed

    def _result_or_error(self, task: Task) -> Any:
        try:
            with running(self, task[0]):
                return self.perform_single_task(task)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._shift.failures.note([task[0]], error)
            return as_exception(error)


def _failed_of(results: list[Task]) -> list[Task]:
    return [task for task in results if isinstance(task[1], Exception)]
