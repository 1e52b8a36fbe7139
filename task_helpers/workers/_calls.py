"""From the data of a task to the call of a function. Pure: no I/O, no courier."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from task_helpers.exceptions import InvalidFunction, SoftTimeLimitExceeded, TimeLimitExceeded
from task_helpers.registry import Registry
from task_helpers.time_limits import TimeLimits

KEYS = ("function", "args", "kwargs")


class Call(NamedTuple):
    """
    - limits - those of the function; a worker may have others for functions without.
    """

    name: str
    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    limits: TimeLimits

    def run(self) -> Any:
        return self.function(*self.args, **self.kwargs)

    @property
    def is_coroutine(self) -> bool:
        """Whether what it gives is to be awaited: `async def`, also as a method `__call__`."""
        given = self.function
        return inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(
            getattr(given, "__call__", None)  # noqa: B004
        )


def call_of(task_data: Any, functions: Registry) -> Call:
    """
    Raises `UnknownFunction` when the name is not registered and `InvalidFunction` for task_data of
    another shape.
    """
    name, args, kwargs = _parts(task_data)
    return Call(name, functions.get(name), args, kwargs, functions.limits_of(name))


def check_functions(functions: object) -> None:
    """Raises `ValueError` for what no name can be looked up in."""
    if not isinstance(functions, Registry):
        raise ValueError(
            f"functions must be a Registry, not {functions!r:.100}: make one by "
            "task_helpers.registry.Registry(), and register each function in it"
        )


def is_interruption(error: Exception) -> bool:
    """Also among the errors that a group of coroutines ended with."""
    if isinstance(error, ExceptionGroup):
        return error.subgroup(SoftTimeLimitExceeded) is not None
    return isinstance(error, SoftTimeLimitExceeded)


def soft_limit_error(error: Exception, call: Call, soft: float) -> TimeLimitExceeded:
    """What whoever waits gets when the function lets the interruption pass."""
    return TimeLimitExceeded(
        f"{call.name} ran longer than its soft_time_limit of {soft:g} s",
        remote_traceback="".join(traceback.format_exception(error)),
    )


def hard_limit_error(call: Call, limits: TimeLimits) -> TimeLimitExceeded:
    """What whoever waits gets when the process had to end."""
    return TimeLimitExceeded(f"{call.name} ran longer than its time_limit of {limits.hard:g} s")


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
