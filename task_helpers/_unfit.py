"""Which part of a value cannot be encoded, and what to pass instead. Unused while all is well."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, Final

from task_helpers._wire_types import Refused
from task_helpers.exceptions import DeserializationError, SerializationError

# JSON is refused beyond it. msgpack is sure to make the trip up to it: its own limit, which costs
# nothing to hold, is 511 or 1,024 levels by its version; less where it runs as pure Python.
MAX_DEPTH: Final = 200


def not_decodable(error: Exception) -> DeserializationError:
    reason = short(str(error)) or type(error).__name__
    return DeserializationError(
        f"the message cannot be decoded ({reason}): it is damaged or was written by another "
        "serializer"
    )


def refusal(root: object, refused: Refused) -> SerializationError:
    place = _place(root, lambda item: item is refused.value)
    kind = type(refused.value)
    return SerializationError(
        f"cannot encode {_type_name(kind)} at {place}: {refused.hint or _hint_for(kind)}"
    )


def not_encodable(root: object, error: Exception) -> SerializationError:
    if isinstance(error, UnicodeEncodeError):
        place = _place(root, lambda item: isinstance(item, str) and _has_surrogates(item))
        return SerializationError(
            f"cannot encode str at {place}: it is not valid Unicode, pass it as bytes"
        )
    if isinstance(error, RecursionError) or _says(error, "recursion", "Circular"):
        return SerializationError(
            f"cannot encode the data: it holds itself or is nested deeper than {MAX_DEPTH} levels"
        )
    if _says(error, "keys must be"):
        place = _place(root, has_other_keys)
        return SerializationError(f"cannot encode a key of {place}: JSON has only str keys")
    if _says(error, "float values"):
        place = _place(root, lambda item: isinstance(item, float) and not isfinite(item))
        return SerializationError(f"cannot encode float at {place}: JSON has no nan and no inf")
    reason = short(str(error)) or type(error).__name__
    return SerializationError(f"cannot encode the data ({reason}): pass plain data")


def _says(error: Exception, *words: str) -> bool:
    # msgpack and json tell these apart by their texts alone.
    return isinstance(error, (ValueError, TypeError)) and any(word in str(error) for word in words)


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def has_other_keys(item: object) -> bool:
    return isinstance(item, dict) and not all(isinstance(key, str) for key in item)


def _place(root: object, matches: Callable[[object], bool]) -> str:
    """Return where the first object that matches sits, as an expression like `data["items"][3]`."""
    seen: set[int] = set()
    waiting: list[tuple[object, str]] = [(root, "data")]
    while waiting:
        item, path = waiting.pop()
        if matches(item):
            return path
        if id(item) not in seen:
            seen.add(id(item))
            waiting.extend(reversed(list(_members(item, path))))
    return "data"


def _members(container: Any, path: str) -> Iterator[tuple[object, str]]:
    kind = type(container)
    if issubclass(kind, dict):
        for key, value in list(dict.items(container)):
            yield key, f"(a key of {path})"
            yield value, f"{path}[{_key_text(key)}]"
    elif issubclass(kind, (list, tuple)):
        for index, value in enumerate(container):
            yield value, f"{path}[{index}]"
    elif issubclass(kind, (set, frozenset)):
        for value in container:
            yield value, f"(an element of {path})"


def _key_text(key: object) -> str:
    if issubclass(type(key), str):
        return short(json.dumps(key, ensure_ascii=False))
    return short(repr(key))


def _type_name(kind: type) -> str:
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}..."


_CALLABLE: Final[Any] = Callable
# What a type may be and what to pass instead. Never asked of the object: a lazy one would load.
_HINTS: Final[tuple[tuple[Callable[[type], bool], str], ...]] = (
    (lambda kind: issubclass(kind, Enum), "pass its value"),
    (lambda kind: kind.__name__ == "__proxy__", "pass str(text), it is a lazy translation"),
    (lambda kind: hasattr(kind, "_setup"), "pass the primary key of the object behind it"),
    (lambda kind: hasattr(kind, "_meta"), "pass its primary key and load it in the worker"),
    (lambda kind: hasattr(kind, "values_list"), "pass list(queryset.values()) or primary keys"),
    (lambda kind: hasattr(kind, "read"), "pass its path or its content"),
    (lambda kind: issubclass(kind, BaseException), "pass str(error)"),
    (lambda kind: issubclass(kind, _CALLABLE), 'pass its name, or {"function": it} to call it'),
    (is_dataclass, "pass dataclasses.asdict(it)"),
    (lambda kind: issubclass(kind, Awaitable), "await it and pass what it returns"),
    (lambda kind: issubclass(kind, Iterable), "pass list(it)"),
)


def _hint_for(kind: type) -> str:
    fitting = (hint for fits, hint in _HINTS if fits(kind))
    return next(fitting, "pass plain data: numbers, text, bytes, dates, lists, dicts")
