"""The worker whose tasks are function calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from uuid import UUID

from task_helpers.durations import Duration
from task_helpers.exceptions import SoftTimeLimitExceeded
from task_helpers.registry import Registry, registry
from task_helpers.tasks import Task
from task_helpers.time_limits import TimeLimits, time_limits
from task_helpers.workers._calls import (
    Call,
    call_of,
    check_functions,
    hard_limit_error,
    is_interruption,
    soft_limit_error,
)
from task_helpers.workers._last_words import end_process
from task_helpers.workers._shift import ClassicShift
from task_helpers.workers.threaded import ThreadedWorker

logger = logging.getLogger("task_helpers.workers")

RETURNING_SECONDS = 1.0
"""How long a process that has to end waits until the results that are there are returned."""


class ClassicWorker(ThreadedWorker):
    """
    Calls one registered function per task, or awaits it if it is `async def`. task_data is
    {"function": name, "args": (...), "kwargs": {...}}; "args" and "kwargs" are optional. See
    `task_helpers.task_function`.

    Takes one task at a time by default, so that no slow task holds up others which an idle worker
    could perform. Raise `max_tasks_per_iteration` where the functions are quick, or `threads` where
    they wait for something, see `ThreadedWorker`.

    - functions - the `Registry` to look names up in.
    - soft_time_limit, time_limit - for functions without limits of their own, see
      `task_function`; None: any time.
    """

    max_tasks_per_iteration = 1
    functions: Registry = registry
    soft_time_limit: Duration | None = None
    time_limit: Duration | None = None

    _shift: ClassicShift
    _shift_type = ClassicShift

    def check_fields(self) -> None:
        super().check_fields()
        check_functions(self.functions)
        self._limits()

    def perform_tasks(self, tasks: list[Task]) -> Any:
        """Calls `perform_single_task` for each task."""
        results = self._shift.results = list[Task]()
        for task in tasks:
            results.append((task[0], self._result_or_error(task)))
        return results

    def perform_single_task(self, task: Task) -> Any:
        """
        Calls the function and returns what it returns. Raises `UnknownFunction` when its name is
        not registered, `InvalidFunction` for task_data of another shape, and `TimeLimitExceeded`
        when the function was interrupted at its `soft_time_limit`.
        """
        call = call_of(task[1], self.functions)
        limits = call.limits.or_else(self._limits())
        try:
            return self._call_within(limits, call, task[0])
        except (SoftTimeLimitExceeded, ExceptionGroup) as error:
            if limits.soft is None or not is_interruption(error):
                raise
            raise soft_limit_error(error, call, limits.soft) from error

    async def perform_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Awaits what an `async def` function gave. Override it to have something around that."""
        return await coroutine

    # --- The parts of these

    def _limits(self) -> TimeLimits:
        return time_limits(self.soft_time_limit, self.time_limit)

    def _call_within(self, limits: TimeLimits, call: Call, task_id: UUID) -> Any:
        """A coroutine is interrupted by its loop, all else by the watchdog."""
        run = call.run
        if call.is_coroutine:
            run = partial(self._shift.loops.run, self._coroutine(call), limits.soft)
            limits = limits._replace(soft=None)
        if not limits:
            return run()
        end = partial(self._end_process, task_id, call, limits)
        return self._shift.watchdog.run(run, limits, end)

    def _coroutine(self, call: Call) -> Callable[[], Coroutine[Any, Any, Any]]:
        return lambda: self.perform_coroutine(call.run())

    def _end_process(self, task_id: UUID, call: Call, limits: TimeLimits) -> None:
        """The function does not end, so the process does. Never returns."""
        error = hard_limit_error(call, limits)
        logger.critical(
            "Task %s in queue %s: %s: the process ends.", task_id, self.queue_name, error.message
        )
        self._shift.stopping = True
        end_process(partial(self._say_last, (task_id, error)))

    def _say_last(self, failed: Task) -> None:
        """The end of the task, the results that are there, and that the others are not held."""
        results, shift = [failed], self._shift
        if shift.crew:
            shift.taking.acquire(timeout=RETURNING_SECONDS)  # what is given back comes not again
            shift.crew.wait_until_returned(RETURNING_SECONDS)
        else:
            results += shift.results
        self.return_task_results(results)
        ended = {task_id for task_id, _ in results}
        others = [task_id for task_id in shift.at_hand() if task_id not in ended]
        self.task_courier.release_tasks(self.queue_name, others)
        self.task_courier.say_farewell(self.queue_name, shift.name)

    def _iterate(self, total_iterations: int | None) -> None:
        try:
            super()._iterate(total_iterations)
        finally:
            self._shift.watchdog.stop()
        self._shift.loops.close()  # not of an interrupted worker: it is to leave now

    def _leave_thread(self) -> None:
        try:
            super()._leave_thread()
        finally:
            self._shift.loops.close()
