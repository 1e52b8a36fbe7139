"""The worker whose tasks are calls of coroutine functions, performed side by side."""

from __future__ import annotations

from typing import Any

from task_helpers.exceptions import InvalidFunction, SoftTimeLimitExceeded
from task_helpers.registry import Registry, registry
from task_helpers.tasks import Task
from task_helpers.workers._calls import call_of, check_functions, is_interruption, soft_limit_error
from task_helpers.workers._coroutines import Limited
from task_helpers.workers.base_async import BaseAsyncWorker


class ClassicAsyncWorker(BaseAsyncWorker):
    """
    As `ClassicWorker`, in one event loop: up to `max_concurrent_batches` functions are awaited at
    the same time, plain ones called in threads.

    A soft time limit interrupts coroutine functions. What only another thread or the end of the
    process could stop, a plain function with a limit or one with a hard limit, is refused.

    - functions - the `Registry` to look names up in.
    """

    max_tasks_per_iteration = 1
    max_concurrent_batches = 100
    functions: Registry = registry

    def check_fields(self) -> None:
        super().check_fields()
        check_functions(self.functions)

    async def perform_single_task(self, task: Task) -> Any:
        """
        Calls the function and returns what it returns. Raises `UnknownFunction` when its name is
        not registered, `InvalidFunction` for task_data of another shape and for limits that cannot
        be kept, and `TimeLimitExceeded` when the function was interrupted at its soft limit.
        """
        call = call_of(task[1], self.functions)
        soft, hard = call.limits
        if hard is not None or (soft is not None and not call.is_coroutine):
            raise InvalidFunction(
                f"{call.name} has a time limit that a {type(self).__name__} cannot keep: use a "
                "ClassicWorker for its queue"
            )
        if not call.is_coroutine:
            return await self._called(call.run)
        coroutine = call.run()
        try:
            return await (coroutine if soft is None else Limited(coroutine, soft))
        except (SoftTimeLimitExceeded, ExceptionGroup) as error:
            if soft is None or not is_interruption(error):
                raise
            raise soft_limit_error(error, call, soft) from error
