"""The names in a worker's class: its fields, and those that are taken, missing or misspelt."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

OURS = ("task_helpers", "django_task_helpers")

PERFORMING = ("perform_tasks", "perform_single_task")

SIMILAR = 0.87
"""From here a name is meant to be another one: `retry_om` is, `min_retry_delay` is not."""


def field_names(kind: type) -> set[str]:
    """Its class fields, with or without a default."""
    values = {name for name in dir(kind) if not is_method(kind, name)}
    return {name for name in values | _annotated(kind).keys() if not name.startswith("_")}


def flag_names(kind: type) -> list[str]:
    """The fields of our base classes that are True or False."""
    annotated = [inspect.get_annotations(base) for base in kind.__mro__ if _is_ours(base)]
    return [name for types in annotated for name, type_ in types.items() if type_ == "bool"]


def is_method(kind: type, name: str) -> bool:
    """Whether it is to be overridden, not set. A class is a value, though it can be called."""
    value = getattr(kind, name, None)
    is_fixed = isinstance(value, property) and value.fset is None
    return (inspect.isroutine(value) or is_fixed) and name not in _annotated(kind)


def check_private(worker: object) -> None:
    """
    `ValueError` for a private name that workers use too: what replaces a part of the loop would
    fail far from where it is defined.
    """
    kind = type(worker)
    is_set = [name for name in vars(worker) if inspect.isfunction(getattr(kind, name, None))]
    ours, theirs = set[str](), dict.fromkeys(is_set, kind.__qualname__)
    for base in kind.__mro__:
        private = [name for name in vars(base) if name[0] == "_" and name[:2] != "__"]
        if _is_ours(base):
            ours.update(private)
        else:
            theirs.update(dict.fromkeys(private, base.__qualname__))
    for name in sorted(ours & theirs.keys()):
        raise ValueError(f"rename {name} of {theirs[name]}: workers use this name themselves")


def check_performing(worker: object, awaits: bool) -> None:
    """
    `ValueError` for a worker that could not perform anything.

    - awaits - whether its methods may be coroutines.
    """
    name = type(worker).__qualname__
    if all(_is_default(worker, method) for method in PERFORMING):
        raise ValueError(
            f"override perform_tasks or perform_single_task of {name}: it does nothing"
        )
    for method in PERFORMING:
        function = getattr(worker, method)
        if inspect.isasyncgenfunction(function):
            raise ValueError(
                f"{method} of {name} is an async generator: return its results instead of yielding "
                "them"
            )
        if not awaits and inspect.iscoroutinefunction(function):
            raise ValueError(f"{method} of {name} is a coroutine: extend BaseAsyncWorker")


def misspelt(worker: object) -> Iterator[tuple[str, str]]:
    """Names that users gave and that are nearly those of fields, with these."""
    kind = type(worker)
    known = {name for base in kind.__mro__ if _is_ours(base) for name in field_names(base)}
    theirs = [vars(worker), *(vars(base) for base in kind.__mro__ if not _is_ours(base))]
    for name in dict.fromkeys(name for names in theirs for name in names):
        near = difflib.get_close_matches(name, known, n=1, cutoff=SIMILAR)
        if near and name not in known and not is_method(kind, name):
            yield name, near[0]


def _annotated(kind: type) -> dict[str, Any]:
    return {
        name: type_
        for base in reversed(kind.__mro__)
        for name, type_ in inspect.get_annotations(base).items()
    }


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in (*OURS, "builtins")


def _is_default(worker: object, name: str) -> bool:
    """Whether what does it is still that of our base classes."""
    if name in vars(worker):
        return False
    owner = next(base for base in type(worker).__mro__ if name in vars(base))
    return owner.__name__ in ("BaseWorker", "BaseAsyncWorker") and _is_ours(owner)
