"""
The types that msgpack lacks, to the wire and back.

Scalars are extension types. Containers are arrays that begin with a marker: extension types that
hold containers would be decoded by recursion through the decoder, which overflows the C stack at
some 200 levels, in messages below 1 kB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgpack import ExtType

from task_helpers.exceptions import DeserializationError

# The numbers are the protocol: stored messages carry them.
_UUID: Final = 1
_DECIMAL: Final = 2
_BIG_INT: Final = 3
_DATETIME: Final = 4
_DATE: Final = 5
_TIME: Final = 6
_TIMEDELTA: Final = 7
_MARKER: Final = 10

# The byte that a marker (an extension type of one byte) begins with: a message without this byte
# holds no marker.
MARKER_BYTE: Final = 0xD4

_TUPLE_MARKER: Final = ExtType(_MARKER, b"t")
_SET_MARKER: Final = ExtType(_MARKER, b"s")
_FROZENSET_MARKER: Final = ExtType(_MARKER, b"f")

_TIMEDELTA_FORMAT: Final = struct.Struct(">iII")  # days, seconds, microseconds
_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


class Refused(Exception):
    """`value` cannot be encoded; `hint` says what to pass instead."""

    def __init__(self, value: object, hint: str = "") -> None:
        super().__init__(hint)
        self.value = value
        self.hint = hint


# --- To the wire


def to_wire(value: object) -> object:
    """Return what msgpack shall write in place of `value`, or raise `Refused`."""
    encode = _ENCODERS.get(type(value))
    if encode is None:
        value = _without_subclass(value)
        encode = _ENCODERS.get(type(value))
    return value if encode is None else encode(value)


def _without_subclass(value: object) -> object:
    # By type(), not isinstance(): that would make Django's lazy objects load what they stand for.
    kind = type(value)
    for base, convert in _PLAIN:
        if issubclass(kind, base):
            if base in _UNHASHABLE and kind.__hash__ is not None:
                # As a key or in a set it would be encoded and could never be decoded.
                raise Refused(value, f"pass it as a plain {base.__name__}")
            return convert(value)
    raise Refused(value)


def _encode_int(value: int) -> object:
    if -(1 << 63) <= value < 1 << 64:
        return value
    size = value.bit_length() // 8 + 1
    return ExtType(_BIG_INT, value.to_bytes(size, "big", signed=True))


def _encode_timedelta(value: timedelta) -> object:
    payload = _TIMEDELTA_FORMAT.pack(value.days, value.seconds, value.microseconds)
    return ExtType(_TIMEDELTA, payload)


def _moment_text(value: datetime | time) -> bytes:
    # ISO 8601. The key of a ZoneInfo follows in brackets; "~" comes first where fold is 1.
    zone = value.tzinfo
    if zone is None or type(zone) is timezone:
        text = value.isoformat()
    elif isinstance(zone, ZoneInfo) and _ZONE_KEY.fullmatch(zone.key or ""):
        text = f"{value.replace(tzinfo=None).isoformat()}[{zone.key}]"
    else:
        hint = "give it a datetime.timezone or a ZoneInfo with a key as its time zone"
        raise Refused(value, hint)
    return f"~{text}".encode() if value.fold else text.encode()


_ENCODERS: Final[dict[type, Callable[[Any], object]]] = {
    int: _encode_int,
    tuple: lambda value: [_TUPLE_MARKER, *value],
    set: lambda value: [_SET_MARKER, *value],
    frozenset: lambda value: [_FROZENSET_MARKER, *value],
    UUID: lambda value: ExtType(_UUID, value.bytes),
    Decimal: lambda value: ExtType(_DECIMAL, str(value).encode()),
    datetime: lambda value: ExtType(_DATETIME, _moment_text(value)),
    date: lambda value: ExtType(_DATE, value.isoformat().encode()),
    time: lambda value: ExtType(_TIME, _moment_text(value)),
    timedelta: _encode_timedelta,
}


def _plain_bytes(value: bytes | bytearray) -> bytes:
    return memoryview(value).tobytes()


def _plain_datetime(value: datetime) -> datetime:
    day = (value.year, value.month, value.day)
    clock = (value.hour, value.minute, value.second, value.microsecond)
    return datetime(*day, *clock, tzinfo=value.tzinfo, fold=value.fold)


def _plain_time(value: time) -> time:
    clock = (value.hour, value.minute, value.second, value.microsecond)
    return time(*clock, tzinfo=value.tzinfo, fold=value.fold)


_UNHASHABLE: Final = frozenset((dict, list, set))

# Base class and how to get its plain value without asking methods that a subclass may have
# changed. The first that fits counts: datetime stands before date, which it extends.
_PLAIN: Final[tuple[tuple[type, Callable[[Any], object]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (dict, dict),
    (list, list),
    (tuple, tuple),
    (set, set),
    (frozenset, frozenset),
    (bytes, _plain_bytes),
    (bytearray, _plain_bytes),
    (UUID, lambda value: UUID(int=value.int)),
    (Decimal, Decimal),
    (datetime, _plain_datetime),
    (date, lambda value: date(value.year, value.month, value.day)),
    (time, _plain_time),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
)


# --- From the wire


def from_wire(code: int, payload: bytes) -> object:
    """Return the scalar behind an extension type; any error means that the message is bad."""
    decode = _DECODERS.get(code)
    if decode is None:
        raise DeserializationError(
            f"the message holds a value of the unknown type {code}: "
            "it is damaged or was written by another version of this package"
        )
    return decode(payload)


def _decode_moment(kind: type[datetime] | type[time], payload: bytes) -> datetime | time:
    text = payload.decode("ascii")
    iso, _, key = text.removeprefix("~").removesuffix("]").partition("[")
    moment = kind.fromisoformat(iso)
    if key:
        moment = moment.replace(tzinfo=_zone(key))
    return moment.replace(fold=1) if text.startswith("~") else moment


def _zone(key: str) -> ZoneInfo:
    # The search for a key imports modules below `tzdata`: only for what looks like a key.
    if not _ZONE_KEY.fullmatch(key):
        raise ValueError("malformed time zone")
    try:
        return ZoneInfo(key)
    except ZoneInfoNotFoundError:
        raise DeserializationError(
            f"the time zone {key} is not known here: install or update the tzdata package"
        ) from None


def _decode_timedelta(payload: bytes) -> timedelta:
    days, seconds, microseconds = _TIMEDELTA_FORMAT.unpack(payload)
    return timedelta(days, seconds, microseconds)


_DECODERS: Final[dict[int, Callable[[bytes], object]]] = {
    _UUID: lambda payload: UUID(bytes=payload),
    _DECIMAL: lambda payload: Decimal(payload.decode("ascii")),
    _BIG_INT: lambda payload: int.from_bytes(payload, "big", signed=True),
    _DATETIME: lambda payload: _decode_moment(datetime, payload),
    _DATE: lambda payload: date.fromisoformat(payload.decode("ascii")),
    _TIME: lambda payload: _decode_moment(time, payload),
    _TIMEDELTA: _decode_timedelta,
}


class _Marker(NamedTuple):
    build: Callable[[list[Any]], object]


_MARKERS: Final = {b"t": _Marker(tuple), b"s": _Marker(set), b"f": _Marker(frozenset)}


class MarkedReader:
    """The hooks that decode one message with markers in it."""

    __slots__ = ("_unused",)

    def __init__(self) -> None:
        self._unused = 0  # markers that no list has begun with

    def extension(self, code: int, payload: bytes) -> object:
        if code != _MARKER:
            return from_wire(code, payload)
        self._unused += 1
        return _MARKERS[payload]

    def array(self, items: list[Any]) -> object:
        if not items or type(items[0]) is not _Marker:
            return items
        self._unused -= 1
        build = items[0].build
        del items[0]
        return build(items)

    def check(self) -> None:
        """Raise when a marker stands where none is written: it would reach the user as data."""
        if self._unused:
            raise ValueError("stray marker")
