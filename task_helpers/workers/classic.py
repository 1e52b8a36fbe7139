"""The worker whose tasks are function calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from task_helpers.exceptions import InvalidFunction
from task_helpers.registry import Registry, registry
from task_helpers.tasks import Task
from task_helpers.workers.base import BaseWorker


class ClassicWorker(BaseWorker):
    """
    Calls one registered function per task. task_data is {"function": name, "args": (...),
    "kwargs": {...}}; "args" and "kwargs" are optional. See `task_helpers.task_function`.

    Takes one task at a time by default, so that no slow task holds up others which an idle worker
    could perform. Raise `max_tasks_per_iteration` where the functions are quick.

    - functions - the `Registry` to look names up in.
    """

    max_tasks_per_iteration = 1
    functions: Registry = registry

    def perform_single_task(self, task: Task) -> Any:
        """
        Calls the function and returns what it returns. Raises `UnknownFunction` when its name is
        not registered and `InvalidFunction` for task_data of another shape.
        """
        name, args, kwargs = _parts(task[1])
        return self.functions.get(name)(*args, **kwargs)


def _parts(task_data: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    if not isinstance(task_data, Mapping) or not isinstance(task_data.get("function"), str):
        raise InvalidFunction(
            'task_data must be {"function": name, "args": (...), "kwargs": {...}} with the name of '
            f"a registered function, not {task_data!r:.100}"
        )
    return task_data["function"], tuple(task_data.get("args", ())), task_data.get("kwargs", {})
