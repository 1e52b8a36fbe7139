"""How task data and results become bytes: msgpack by default, JSON by choice."""

from __future__ import annotations

import json
import pickle
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, Final, NoReturn, Protocol, runtime_checkable

from msgpack import Packer, unpackb

from task_helpers._wire_types import MARKER_BYTE, MarkedReader, Refused, from_wire, to_wire
from task_helpers.exceptions import DeserializationError, SerializationError

# JSON is refused beyond it. msgpack is sure to make the trip up to it: its own limit, which costs
# nothing to hold, is 511 or 1,024 levels by its version; less where it runs as pure Python.
MAX_DEPTH: Final = 200


@runtime_checkable
class Serializer(Protocol):
    """
    Turns values into bytes and back.

    - codec - 1 to 255; stored with each message, so that a reader knows how to decode it.
    - name - the word that chooses it in settings.
    """

    codec: int
    name: str

    def dumps(self, value: Any) -> bytes:
        """Return `value` as bytes, or raise `SerializationError`."""

    def loads(self, data: bytes) -> Any:
        """Return the value that `dumps` was given, or raise `DeserializationError`."""


class MsgpackSerializer:
    """
    What goes in comes out equal and of the same type, however nested:

    None, bool, int of any size, float, str, bytes, list, tuple, dict with any hashable keys, set,
    frozenset, UUID, Decimal, date, timedelta, and datetime and time, naive or with their zone
    (`datetime.timezone`, or a `ZoneInfo` with a key).

    Subclasses come out as what they extend: `SafeString` and `TextChoices` as str, `IntEnum` as
    int, `OrderedDict` and `defaultdict` as dict, a named tuple as tuple. bytearray and memoryview
    come out as bytes. `msgpack.ExtType` belongs to the format: as data it does not come out again.
    """

    codec = 1
    name = "msgpack"

    def dumps(self, value: Any) -> bytes:
        """
        Return `value` as bytes.

        Raises `SerializationError`, which names type and place of what cannot be encoded, also for
        data that is nested deeper than `MAX_DEPTH` (some more levels may pass) or holds itself.
        """
        try:
            # A new packer costs 70 ns. A shared one would mix the messages of two threads that
            # meet inside `to_wire`.
            packer = Packer(strict_types=True, default=to_wire, buf_size=512)
            data: bytes = packer.pack(value)
            return data
        except Refused as refused:
            raise _refusal(value, refused) from None
        except Exception as error:
            raise _not_encodable(value, error) from error

    def loads(self, data: bytes) -> Any:
        """Return the value behind `data`; whatever is wrong with it is a `DeserializationError`."""
        try:
            if MARKER_BYTE in data:
                return _loads_marked(data)
            return unpackb(data, strict_map_key=False, ext_hook=from_wire)
        except DeserializationError:
            raise
        except Exception as error:
            raise _not_decodable(error) from error


def _loads_marked(data: bytes) -> Any:
    # Apart, because a hook for each list costs as much again as the list.
    reader = MarkedReader()
    value = unpackb(data, strict_map_key=False, ext_hook=reader.extension, list_hook=reader.array)
    reader.check()
    return value


class PickleSerializer:
    """
    Anything that pickle takes. Decoding runs what the bytes say: a courier takes it only together
    with a `signing_key`, and decodes nothing that is not signed with it.
    """

    codec = 3
    name = "pickle"

    def dumps(self, value: Any) -> bytes:
        """Return `value` pickled, or raise `SerializationError`."""
        try:
            return pickle.dumps(value, protocol=5)
        except Exception as error:
            raise SerializationError(f"pickle cannot encode this: {error}") from error

    def loads(self, data: bytes) -> Any:
        """Return the value behind `data`; whatever is wrong with it is a `DeserializationError`."""
        try:
            return pickle.loads(data)
        except Exception as error:
            raise DeserializationError(f"pickle cannot decode this: {error}") from error


class JsonSerializer:
    """
    JSON in UTF-8, for partners that are not Python. Takes what JSON has and nothing else: None,
    bool, int, finite float, str, list, and dict with str keys. A tuple comes out as a list.
    """

    codec = 2
    name = "json"

    def dumps(self, value: Any) -> bytes:
        """
        Return `value` as JSON.

        Raises `SerializationError`, which names type and place of what JSON does not have, also for
        data that is nested deeper than `MAX_DEPTH` or holds itself.
        """
        try:
            # The encoder goes first: it finds a container that holds itself.
            data = _JSON_ENCODER.encode(value).encode()
            _check_json_levels(value)
            return data
        except Refused as refused:
            raise _refusal(value, refused) from None
        except Exception as error:
            raise _not_encodable(value, error) from error

    def loads(self, data: bytes) -> Any:
        """Return the value behind `data`; whatever is wrong with it is a `DeserializationError`."""
        try:
            return _JSON_DECODER.decode(data.decode())
        except Exception as error:
            raise _not_decodable(error) from error


def _refuse(value: object) -> NoReturn:
    raise Refused(value)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_JSON_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse
)
_JSON_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _check_json_levels(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for container in level for child in _json_children(container)]
        if not level:
            return
    raise RecursionError


def _json_children(container: object) -> list[object]:
    if isinstance(container, dict):
        if _has_other_keys(container):
            raise TypeError("keys must be str")
        return [child for child in container.values() if isinstance(child, (dict, list, tuple))]
    if isinstance(container, (list, tuple)):
        return [child for child in container if isinstance(child, (dict, list, tuple))]
    return []


def _has_other_keys(item: object) -> bool:
    return isinstance(item, dict) and not all(isinstance(key, str) for key in item)


# --- Choosing one


_BUILT_IN: Final[tuple[Serializer, ...]] = (
    MsgpackSerializer(),
    JsonSerializer(),
    PickleSerializer(),
)
_BY_NAME: Final = {serializer.name: serializer for serializer in _BUILT_IN}
_BY_CODEC: Final = {serializer.codec: serializer for serializer in _BUILT_IN}


def serializer_named(choice: object) -> Serializer:
    """Return the serializer of that name, or `choice` itself where it is one; else `ValueError`."""
    if isinstance(choice, str) and choice in _BY_NAME:
        return _BY_NAME[choice]
    if isinstance(choice, Serializer) and not isinstance(choice, type):
        _check_codec(choice)
        return choice
    raise ValueError(
        f"unknown serializer {_short(repr(choice))}: choose "
        f"{', '.join(map(repr, _BY_NAME))} or an object with codec, name, dumps and loads"
    )


def _check_codec(serializer: Serializer) -> None:
    codec = serializer.codec
    if not isinstance(codec, int) or not 1 <= codec <= 255:
        raise ValueError(f"the codec of a serializer is a number from 1 to 255, not {codec!r}")
    owner = _BY_CODEC.get(codec)
    if owner is not None and not isinstance(serializer, type(owner)):
        raise ValueError(f"codec {codec} belongs to {owner.name!r}: choose another number")


def serializer_of(codec: int) -> Serializer:
    """
    Return the built-in serializer with this codec, or raise `DeserializationError`. Never pickle:
    no message may choose it, only a courier's own options.
    """
    if codec not in _BY_CODEC or codec == PickleSerializer.codec:
        raise DeserializationError(
            f"the message has the unknown codec {codec}: it was written by another version of "
            "this package or by a serializer that is not configured here"
        )
    return _BY_CODEC[codec]


# --- Explaining what went wrong; nothing below runs while all is well


def _not_decodable(error: Exception) -> DeserializationError:
    reason = _short(str(error)) or type(error).__name__
    return DeserializationError(
        f"the message cannot be decoded ({reason}): it is damaged or was written by another "
        "serializer"
    )


def _refusal(root: object, refused: Refused) -> SerializationError:
    place = _place(root, lambda item: item is refused.value)
    kind = type(refused.value)
    return SerializationError(
        f"cannot encode {_type_name(kind)} at {place}: {refused.hint or _hint_for(kind)}"
    )


def _not_encodable(root: object, error: Exception) -> SerializationError:
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
        place = _place(root, _has_other_keys)
        return SerializationError(f"cannot encode a key of {place}: JSON has only str keys")
    if _says(error, "float values"):
        place = _place(root, lambda item: isinstance(item, float) and not isfinite(item))
        return SerializationError(f"cannot encode float at {place}: JSON has no nan and no inf")
    reason = _short(str(error)) or type(error).__name__
    return SerializationError(f"cannot encode the data ({reason}): pass plain data")


def _says(error: Exception, *words: str) -> bool:
    # msgpack and json tell these apart by their texts alone.
    return isinstance(error, (ValueError, TypeError)) and any(word in str(error) for word in words)


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


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
        return _short(json.dumps(key, ensure_ascii=False))
    return _short(repr(key))


def _type_name(kind: type) -> str:
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _short(text: str) -> str:
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
