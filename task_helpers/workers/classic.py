"""The worker whose tasks are function calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from task_helpers.exceptions import InvalidFunction
from task_helpers.registry import Registry, registry
from task_helpers.tasks import Task
from task_helpers.workers.threaded import ThreadedWorker

KEYS = ("function", "args", "kwargs")


class ClassicWorker(ThreadedWorker):
    """
    Calls one registered function per task. task_data is {"function": name, "args": (...),
    "kwargs": {...}}; "args" and "kwargs" are optional. See `task_helpers.task_function`.

    Takes one task at a time by default, so that no slow task holds up others which an idle worker
    could perform. Raise `max_tasks_per_iteration` where the functions are quick, or `threads` where
    they wait for something, see `ThreadedWorker`.

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


def _parts(task_data: Any) -> tuple[str, Sequence[Any], Mapping[str, Any]]:
    if not isinstance(task_data, Mapping) or not isinstance(task_data.get("function"), str):
        raise InvalidFunction(
            'task_data must be {"function": name, "args": (...), "kwargs": {...}} with the name of '
            f"a registered function, not {task_data!r:.100}"
        )
    name = task_data["function"]
    args, kwargs = task_data.get("args", ()), task_data.get("kwargs", {})
    if unknown := [key for key in task_data if key not in KEYS]:
        raise InvalidFunction(
            f"task_data of {name} has the unknown {unknown!r:.100}: give arguments of the function "
            'under "args" or "kwargs"'
        )
    if not isinstance(args, (list, tuple)):
        raise InvalidFunction(f'"args" of {name} must be a list or tuple, not {args!r:.100}')
    if not isinstance(kwargs, Mapping):
        raise InvalidFunction(f'"kwargs" of {name} must be a dict, not {kwargs!r:.100}')
    return name, args, kwargs
