"""How task data and results become bytes: msgpack by default, JSON by choice."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn, Protocol, runtime_checkable

from msgpack import Packer, unpackb

from task_helpers._unfit import (
    MAX_DEPTH,
    has_other_keys,
    not_decodable,
    not_encodable,
    refusal,
    short,
)
from task_helpers._wire_types import MARKER_BYTE, MarkedReader, Refused, from_wire, to_wire
from task_helpers.exceptions import DeserializationError, SerializationError


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
            data: bytes = _packer().pack(value)
            return data
        except Refused as refused:
            raise refusal(value, refused) from None
        except Exception as error:
            raise not_encodable(value, error) from error

    def loads(self, data: bytes) -> Any:
        """Return the value behind `data`; whatever is wrong with it is a `DeserializationError`."""
        try:
            if MARKER_BYTE in data:
                return _loads_marked(data)
            return _unpack(data)
        except DeserializationError:
            raise
        except Exception as error:
            raise not_decodable(error) from error

    def dumps_all(self, values: Sequence[Any]) -> list[bytes]:
        """As `dumps` for each, in half the time."""
        try:
            return list(map(_packer().pack, values))
        except Exception:
            return list(map(self.dumps, values))  # which says what is wrong with the first

    def loads_all(self, payloads: Sequence[bytes]) -> list[Any]:
        """As `loads` for each."""
        with suppress(Exception):  # `loads` says what is wrong with the first
            if MARKER_BYTE not in b"".join(payloads):
                return list(map(_unpack, payloads))
        return list(map(self.loads, payloads))


def _packer() -> Packer:
    """
    A new one costs 70 ns. One for all would mix the messages of two threads that meet inside
    `to_wire`.
    """
    return Packer(strict_types=True, default=to_wire, buf_size=512)


_unpack: Final = partial(unpackb, strict_map_key=False, ext_hook=from_wire)


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
            raise refusal(value, refused) from None
        except Exception as error:
            raise not_encodable(value, error) from error

    def loads(self, data: bytes) -> Any:
        """Return the value behind `data`; whatever is wrong with it is a `DeserializationError`."""
        try:
            return _JSON_DECODER.decode(data.decode())
        except Exception as error:
            raise not_decodable(error) from error


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
        if has_other_keys(container):
            raise TypeError("keys must be str")
        return [child for child in container.values() if isinstance(child, (dict, list, tuple))]
    if isinstance(container, (list, tuple)):
        return [child for child in container if isinstance(child, (dict, list, tuple))]
    return []


# --- Many at once


def dumps_all(serializer: Serializer, values: Sequence[Any]) -> list[bytes]:
    """What `dumps` returns for each; raises what it raises for the first that it refuses."""
    if type(serializer) is MsgpackSerializer:
        return serializer.dumps_all(values)
    return list(map(serializer.dumps, values))


def loads_all(serializer: Serializer, payloads: Sequence[bytes]) -> list[Any]:
    """What `loads` returns for each; raises what it raises for the first that it refuses."""
    if type(serializer) is MsgpackSerializer:
        return serializer.loads_all(payloads)
    return list(map(serializer.loads, payloads))


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
        f"unknown serializer {short(repr(choice))}: choose "
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
