"""The functions that tasks may name. A worker calls what is registered here and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, TypeVar, overload

from task_helpers.durations import Duration
from task_helpers.exceptions import InvalidFunction, UnknownFunction
from task_helpers.time_limits import TimeLimits, time_limits

AnyFunction = Callable[..., Any]
F = TypeVar("F", bound=AnyFunction)


class Registry:
    """Functions under the names by which tasks ask for them."""

    def __init__(self) -> None:
        self._functions: dict[str, AnyFunction] = {}
        self._names: dict[AnyFunction, str] = {}
        self._limits: dict[str, TimeLimits] = {}

    def register(
        self,
        function: AnyFunction,
        name: str | None = None,
        *,
        soft_time_limit: Duration | None = None,
        time_limit: Duration | None = None,
    ) -> str:
        """
        Register `function` and return its name: `name`, else "<module>.<qualified name>".

        A function that is defined again, as a reload does, takes the place of the former one.
        Raises `InvalidFunction` when another function has the name, and when the function has no
        name that another process could know (a lambda, a nested function) and was given none;
        `ValueError` for a limit that is no duration.

        - soft_time_limit, time_limit - see `task_function`.
        """
        limits = time_limits(soft_time_limit, time_limit)
        _check_function(function)
        name = _default_name(function) if name is None else _checked_name(name)
        former = self._functions.get(name)
        if former is not None and not _same_definition(former, function):
            raise InvalidFunction(
                f"the task function name {name!r} of {_described(function)} is taken by "
                f"{_described(former)}: give one of them another name"
            )
        self._functions[name] = function
        self._limits[name] = limits
        # The former function keeps its entry: whoever imported it before the reload may pass it.
        self._names[function] = name
        return name

    def name_of(self, function: str | AnyFunction) -> str:
        """
        Return the name of a registered function, or raise `UnknownFunction`.

        A `str` is returned as it is: the worker may know functions that are not imported here.
        """
        if isinstance(function, str):
            return function
        if not isinstance(function, Hashable) or function not in self._names:
            raise UnknownFunction(
                f"function {_described(function)} is not registered: "
                "decorate it with @task_function"
            )
        return self._names[function]

    def get(self, name: str) -> AnyFunction:
        """Return the function of that name, or raise `UnknownFunction`. Imports nothing."""
        if not isinstance(name, str) or name not in self._functions:
            raise UnknownFunction(
                f"function {_short(name)} is not registered{self._near(name)}: "
                "is the worker running the same code, and is the module imported?"
            )
        return self._functions[name]

    def limits_of(self, name: str) -> TimeLimits:
        """Return the time limits with which a name was registered."""
        return self._limits.get(name, TimeLimits())

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._functions)

    def _near(self, name: object) -> str:
        # The cost grows with the length of the name, and the name comes from a message.
        near = difflib.get_close_matches(str(name)[:200], self.names())
        return f" (similar: {', '.join(near)})" if near else ""


registry: Final = Registry()
"""The registry that `task_function` fills and workers use by default."""


@overload
def task_function(function: F, /) -> F: ...


@overload
def task_function(
    *,
    name: str | None = None,
    soft_time_limit: Duration | None = None,
    time_limit: Duration | None = None,
) -> Callable[[F], F]: ...


def task_function(
    function: AnyFunction | None = None,
    /,
    *,
    name: str | None = None,
    soft_time_limit: Duration | None = None,
    time_limit: Duration | None = None,
) -> AnyFunction:
    """
    Let tasks name this function: `@task_function` or `@task_function(name="shop.report")`.

    Returns the function itself. Without `name` it is "<module>.<qualified name>".
    Raises `InvalidFunction` and `ValueError` as `Registry.register` does.

    - soft_time_limit - a duration after which `SoftTimeLimitExceeded` is raised inside the
      function; None: what the worker has.
    - time_limit - a duration after which the task fails and the worker's process ends, whatever
      the function does; None: what the worker has.
    """

    def decorate(function: F) -> F:
        registry.register(function, name, soft_time_limit=soft_time_limit, time_limit=time_limit)
        return function

    return decorate if function is None else decorate(function)


def _check_function(function: object) -> None:
    if not callable(function):
        raise InvalidFunction(
            f"{_short(function)} is not a function: write @task_function(name=...) to give a name"
        )
    if not isinstance(function, Hashable):
        raise InvalidFunction(
            f"{_short(function)} is not hashable: register a function that calls it"
        )


def _default_name(function: AnyFunction) -> str:
    qualified = getattr(function, "__qualname__", None)
    if qualified is None or "<" in qualified:
        raise InvalidFunction(
            f"{_described(function)} cannot be found by its own name: "
            "give it one with @task_function(name=...)"
        )
    return f"{function.__module__}.{qualified}"


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidFunction(f"the name of a task function is a str, not {_short(name)}")
    return name


def _same_definition(one: AnyFunction, other: AnyFunction) -> bool:
    if one is other:
        return True
    qualified = getattr(one, "__qualname__", None)
    return (
        qualified is not None
        and qualified == getattr(other, "__qualname__", None)
        and one.__module__ == other.__module__
    )


def _described(function: object) -> str:
    qualified = getattr(function, "__qualname__", None)
    if qualified is None:
        return _short(function)
    return f"{getattr(function, '__module__', None)}.{qualified}"


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def with_function_names(tasks_data: Iterable[Any]) -> list[Any]:
    """The same, each with a callable under "function" replaced by its registered name."""
    return [
        _with_function_name(data) if isinstance(data, dict) and "function" in data else data
        for data in tasks_data
    ]


def _with_function_name(task_data: dict[Any, Any]) -> dict[Any, Any]:
    function = task_data["function"]
    if callable(function):
        return {**task_data, "function": registry.name_of(function)}
    return task_data
