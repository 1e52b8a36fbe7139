from __future__ import annotations

import enum
import io
import math
import os
import random
import threading
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgpack
import pytest
from django.db.models import TextChoices
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from hypothesis import given, settings
from hypothesis import strategies as st

from task_helpers.exceptions import DeserializationError, SerializationError
from task_helpers.serializers import (
    MAX_DEPTH,
    JsonSerializer,
    MsgpackSerializer,
    serializer_named,
    serializer_of,
)

MSGPACK = MsgpackSerializer()
JSON = JsonSerializer()
BOTH = pytest.mark.parametrize("serializer", [MSGPACK, JSON], ids=lambda one: one.name)

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = timezone(timedelta(hours=5, minutes=30))
ODD_OFFSET = timezone(-timedelta(hours=1, minutes=2, seconds=3, microseconds=4))


def round_trip(value: Any) -> Any:
    return MSGPACK.loads(MSGPACK.dumps(value))


def same(one: Any, other: Any) -> bool:
    """Equal and of the same types all the way down; nan is the same as nan, 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (set, frozenset)):
        return sorted(map(canonical, one)) == sorted(map(canonical, other))
    return canonical(one) == canonical(other)


def canonical(value: Any) -> str:
    zone = getattr(value, "tzinfo", None)
    fold = getattr(value, "fold", None)
    # Members of a set have no order: sort those of inner sets as well.
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(canonical, value))}"
    if isinstance(value, tuple):
        return f"tuple {list(map(canonical, value))}"
    return f"{type(value)} {value!r} {zone!r} {fold}"


# --- What goes in comes out


SCALARS = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    2**64 - 1,
    -(2**63),
    2**64,
    -(2**63) - 1,
    2**127,
    -(2**127),
    2**128 - 1,
    -(10**4000),
    0.0,
    -0.0,
    1.5,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "tomato",
    "Помидор 🍅",
    "\x00",
    b"",
    b"\xd4\x0at\xff",
    UUID(int=0),
    uuid4(),
    Decimal("12.45"),
    Decimal("12.450"),
    Decimal("-0"),
    Decimal("1E+1000"),
    Decimal("NaN"),
    Decimal("sNaN123"),
    Decimal("-Infinity"),
    date.min,
    date(2026, 11, 24),
    datetime.min,
    datetime.max,
    datetime(2026, 11, 24, 10, 30, 0, 1),
    datetime(2026, 11, 24, 10, 30, tzinfo=UTC),
    datetime(2026, 11, 24, 10, 30, tzinfo=KOLKATA),
    datetime(2026, 11, 24, 10, 30, tzinfo=ODD_OFFSET),
    datetime(2026, 11, 24, 10, 30, tzinfo=BERLIN),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=0),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2026, 11, 24, 10, 30, fold=1),
    datetime(2026, 11, 24, 10, 30, tzinfo=ZoneInfo("UTC")),
    datetime(2026, 11, 24, 10, 30, tzinfo=ZoneInfo("Etc/GMT+5")),
    time.min,
    time.max,
    time(10, 30, fold=1),
    time(10, 30, tzinfo=UTC),
    time(10, 30, tzinfo=KOLKATA),
    time(10, 30, tzinfo=BERLIN),
    timedelta.min,
    timedelta.max,
    timedelta(microseconds=-1),
]


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: repr(value)[:40])
def test_scalar_comes_out_as_it_went_in(value: Any) -> None:
    assert same(round_trip(value), value)


@pytest.mark.parametrize(
    "value",
    [
        [],
        (),
        {},
        set(),
        frozenset(),
        [[]],
        ((),),
        (1,),
        [(1, [2, (3,)]), {4}, {"a": (5,)}],
        {(1, "a"): 1, 2: 2, b"b": 3, None: 4, 1.5: 5, frozenset({1}): 6, ((1,), frozenset()): 7},
        {UUID(int=1): Decimal(1), date(2026, 1, 1): 2, 2**70: 3, True: 4},
        {(1,), frozenset({(2,)}), "a", b"a", Decimal("1.5")},
        frozenset({frozenset({frozenset()}), ()}),
        {"function": "shop.report", "args": ("2026-11",), "kwargs": {"to": {"a", "b"}}},
    ],
    ids=repr,
)
def test_container_comes_out_as_it_went_in(value: Any) -> None:
    assert same(round_trip(value), value)


def test_every_scalar_inside_every_container() -> None:
    for value in SCALARS:
        nested = {"list": [value], "tuple": (value, [value])}
        assert same(round_trip(nested), nested)


def test_order_of_a_dict_is_kept() -> None:
    assert list(round_trip({"b": 1, "a": 2, "c": 3})) == ["b", "a", "c"]


def test_zone_is_the_very_zone_and_fold_keeps_the_instant() -> None:
    # given the second 02:30 of the night in which the clocks go back
    second = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    # when it makes the trip
    result = round_trip(second)
    # then it is the same instant in the same zone, and follows the rules of that zone
    assert result.tzinfo is BERLIN
    assert result.astimezone(UTC) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_list_that_looks_like_a_marker_array_stays_a_list() -> None:
    for value in ([10, b"t"], [b"t", 1], [[10, b"t"], 1, 2], [b"\xd4\x0at", 1], ["t", 1]):
        assert same(round_trip(value), value)
        assert same(round_trip((value, value)), (value, value))


def test_messages_do_not_depend_on_the_decimal_context() -> None:
    from decimal import Context, localcontext

    with localcontext(Context(prec=2, capitals=0)):
        assert same(round_trip(Decimal("1.23456E+50")), Decimal("1.23456E+50"))


hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**200), max_value=2**200)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones() | st.just(UTC) | st.just(ODD_OFFSET))
    | st.times(timezones=st.none() | st.just(UTC) | st.just(KOLKATA))
    | st.timedeltas(),
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4)  # type: ignore[arg-type]
    ),
    max_leaves=10,
)
anything = st.recursive(
    hashable | st.floats() | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=30,
)


@settings(max_examples=200, deadline=None)
@given(anything)
def test_any_value_comes_out_as_it_went_in(value: Any) -> None:
    assert same(round_trip(value), value)


# --- Subclasses come out as what they extend


class Size(TextChoices):
    SMALL = "s", "Small"


class Level(enum.IntEnum):
    HIGH = 3
    HUGE = 2**70


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Ratio(float, enum.Enum):
    HALF = 0.5


class LaterDatetime(datetime):
    def isoformat(self, *args: Any, **kwargs: Any) -> str:
        return "later"


class Bytes(bytes):
    def __bytes__(self) -> bytes:
        return b"other"


class OwnTime(time):
    pass


class OwnDate(date):
    pass


class OwnDelta(timedelta):
    pass


class OwnUUID(UUID):
    pass


class OwnDecimal(Decimal):
    def __str__(self) -> str:
        return "own"


class OwnByteArray(bytearray):
    pass


Point = namedtuple("Point", "x y")

SUBCLASSES: list[tuple[Any, Any]] = [
    (SafeString("<b>"), "<b>"),
    (Size.SMALL, "s"),
    (Level.HIGH, 3),
    (Level.HUGE, 2**70),
    (Rights.READ | Rights.WRITE, 3),
    (Ratio.HALF, 0.5),
    (OrderedDict(a=1), {"a": 1}),
    (defaultdict(list, a=[1]), {"a": [1]}),
    (Counter("aab"), {"a": 2, "b": 1}),
    (Point(1, (2,)), (1, (2,))),
    (Bytes(b"a"), b"a"),
    (bytearray(b"a"), b"a"),
    (OwnByteArray(b"a"), b"a"),
    (memoryview(b"abc")[1:], b"bc"),
    (LaterDatetime(2026, 1, 2, 3, tzinfo=BERLIN), datetime(2026, 1, 2, 3, tzinfo=BERLIN)),
    (OwnTime(3, fold=1), time(3, fold=1)),
    (OwnDate(2026, 1, 2), date(2026, 1, 2)),
    (OwnDelta(days=1), timedelta(days=1)),
    (OwnUUID(int=7), UUID(int=7)),
    (OwnDecimal("1.50"), Decimal("1.50")),
]


@pytest.mark.parametrize(("value", "plain"), SUBCLASSES, ids=lambda value: repr(value)[:40])
def test_subclass_comes_out_as_what_it_extends(value: Any, plain: Any) -> None:
    assert same(round_trip(value), plain)
    assert same(round_trip({"in": (value,)}), {"in": (plain,)})


def test_subclasses_as_keys_and_members() -> None:
    value = {Size.SMALL: 1, Level.HIGH: 2, Point(1, 2): {SafeString("a")}}
    assert same(round_trip(value), {"s": 1, 3: 2, (1, 2): {"a"}})


# --- What cannot be encoded: one line with type, place and remedy


class Product:
    """Has of a Django model what tells that it is one; a real one needs settings."""

    _meta = None


class QuerySet:
    def values_list(self) -> None: ...


@dataclass
class Address:
    street: str


class Colour(enum.Enum):
    RED = 1


class HashableDict(dict):  # type: ignore[type-arg]
    def __hash__(self) -> int:  # type: ignore[override]
        return 1


class NoZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(0)


def not_loaded() -> Any:
    raise AssertionError("the lazy object was loaded")


def a_function() -> None: ...


async def a_coroutine_function() -> None: ...


REFUSED: list[tuple[Callable[[], Any], str, str]] = [
    (Product, "Product", "pass its primary key and load it in the worker"),
    (lambda: Product, "type", "pass its name"),
    (QuerySet, "QuerySet", "pass list(queryset.values())"),
    (lambda: a_function, "function", 'pass its name, or {"function": it} to call it'),
    (lambda: "".join, "builtin_function_or_method", "pass its name"),
    (lambda: int, "type", "pass its name"),
    (lambda: (n for n in ()), "generator", "pass list(it)"),
    (lambda: range(3), "range", "pass list(it)"),
    (lambda: {}.keys(), "dict_keys", "pass list(it)"),
    (lambda: io.BytesIO(b"a"), "_io.BytesIO", "pass its path or its content"),
    (lambda: Colour.RED, "Colour", "pass its value"),
    (lambda: Address("Main"), "Address", "pass dataclasses.asdict(it)"),
    (lambda: ValueError("no"), "ValueError", "pass str(error)"),
    (lambda: gettext_lazy("Hello"), "__proxy__", "pass str(text)"),
    (lambda: SimpleLazyObject(not_loaded), "SimpleLazyObject", "pass the primary key"),
    (lambda: 1j, "complex", "pass plain data"),
    (object, "object", "pass plain data"),
    (HashableDict, "HashableDict", "pass it as a plain dict"),
    (lambda: datetime(2026, 1, 1, tzinfo=NoZone()), "datetime", "datetime.timezone or a ZoneInfo"),
    (lambda: time(1, tzinfo=NoZone()), "time", "datetime.timezone or a ZoneInfo"),
]


def refusal(serializer: Any, value: Any) -> str:
    with pytest.raises(SerializationError) as caught:
        serializer.dumps(value)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize(("make", "kind", "hint"), REFUSED, ids=lambda value: str(value)[:30])
def test_refused_type_is_named_with_its_place_and_a_remedy(
    make: Callable[[], Any], kind: str, hint: str
) -> None:
    message = refusal(MSGPACK, {"items": [1, 2, 3, make()]})
    assert f'{kind} at data["items"][3]: ' in message
    assert hint in message


def test_a_whole_message() -> None:
    message = refusal(MSGPACK, {"items": [1j]})
    assert message == (
        'cannot encode complex at data["items"][0]: '
        "pass plain data: numbers, text, bytes, dates, lists, dicts"
    )


def test_the_internal_reason_is_not_in_the_traceback() -> None:
    with pytest.raises(SerializationError) as caught:
        MSGPACK.dumps(object())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda bad: bad, "data"),
        (lambda bad: [bad], "data[0]"),
        (lambda bad: (1, (bad,)), "data[1][0]"),
        (lambda bad: {"a": {2: bad}}, 'data["a"][2]'),
        (lambda bad: {("a", 1): bad}, "data[('a', 1)]"),
        (lambda bad: {bad: 1}, "(a key of data)"),
        (lambda bad: {"a": {(1, bad): 1}}, '(a key of data["a"])[1]'),
        (lambda bad: [{bad}], "(an element of data[0])"),
        (lambda bad: {Size.SMALL: OrderedDict(b=Point(1, bad))}, 'data["s"]["b"][1]'),
        (lambda bad: {"line\nbreak" * 50: bad}, 'data["line\\nbreak'),
    ],
    ids=range(10),
)
def test_place(wrap: Callable[[Any], Any], place: str) -> None:
    assert f"cannot encode object at {place}" in refusal(MSGPACK, wrap(object()))


def test_place_is_found_in_data_that_holds_itself_elsewhere() -> None:
    value: dict[str, Any] = {}
    value["bad"] = object()
    value["self"] = value
    assert 'data["bad"]' in refusal(MSGPACK, value)


def test_broken_unicode_is_named_with_its_place() -> None:
    for serializer in (MSGPACK, JSON):
        message = refusal(serializer, {"names": ["ok", "a\udcff"]})
        assert message == (
            'cannot encode str at data["names"][1]: it is not valid Unicode, pass it as bytes'
        )


def test_other_errors_are_wrapped_too() -> None:
    assert "pass plain data" in refusal(MSGPACK, memoryview(b"abcdef")[::2])


# --- Depth


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


def measured_depth(value: Any) -> int:
    depth = 0
    while not isinstance(value, int):
        value = next(iter(value.values() if isinstance(value, dict) else value))
        depth += 1
    return depth


WRAPPERS = pytest.mark.parametrize(
    "wrap",
    [lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: frozenset((v,))],
    ids=["list", "dict", "tuple", "frozenset"],
)


@WRAPPERS
def test_max_depth_makes_the_trip(wrap: Callable[[Any], Any]) -> None:
    value = nested(MAX_DEPTH, wrap)
    assert measured_depth(round_trip(value)) == MAX_DEPTH


@WRAPPERS
def test_deeper_is_an_error(wrap: Callable[[Any], Any]) -> None:
    assert "nested deeper than 200 levels" in refusal(MSGPACK, nested(1100, wrap))


def test_very_much_deeper_is_an_error() -> None:
    for wrap in (lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: OrderedDict(a=v)):
        assert "nested deeper" in refusal(MSGPACK, nested(100_000, wrap))


@pytest.mark.skipif(
    msgpack.Packer.__module__ == "msgpack.fallback", reason="pure Python: bound by its stack"
)
def test_whatever_depth_is_encoded_is_decoded() -> None:
    for wrap in (lambda v: [v], lambda v: (v,), lambda v: {"a": v}):
        for depth in range(MAX_DEPTH, 1100, 3):
            try:
                data = MSGPACK.dumps(nested(depth, wrap))
            except SerializationError:
                continue
            assert measured_depth(MSGPACK.loads(data)) == depth


def test_json_depth_is_exact() -> None:
    deepest = nested(MAX_DEPTH, lambda v: {"a": [v]} if isinstance(v, int) else [v])
    assert refusal(JSON, [deepest]).endswith("nested deeper than 200 levels")
    good = nested(MAX_DEPTH, lambda v: [v])
    assert JSON.loads(JSON.dumps(good)) == good
    assert "nested deeper" in refusal(JSON, [good])
    assert "nested deeper" in refusal(JSON, nested(100_000, lambda v: [v]))


@BOTH
def test_data_that_holds_itself_is_an_error(serializer: Any) -> None:
    itself: list[Any] = []
    itself.extend([itself, itself])
    table: dict[str, Any] = {}
    table["a"] = [table, table]
    for value in (itself, {"a": itself}, table):
        assert "it holds itself" in refusal(serializer, value)


# --- Bytes from elsewhere: always DeserializationError


def ext(code: int, payload: bytes) -> bytes:
    return b"\xc7" + bytes((len(payload), code)) + payload


MARK = b"\xd4\x0a"

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "truncated": MSGPACK.dumps({"name": "tomato"})[:-1],
    "truncated in a tuple": MSGPACK.dumps(("tomato",))[:-1],
    "trailing": MSGPACK.dumps(1) + b"\x00",
    "trailing after a tuple": MSGPACK.dumps((1,)) + b"\x00",
    "reserved byte": b"\xc1",
    "huge array": b"\xdd\xff\xff\xff\xff",
    "huge map": b"\xdf\xff\xff\xff\xff",
    "huge str": b"\xdb\xff\xff\xff\xff",
    "huge bin": b"\xc6\xff\xff\xff\xff",
    "huge extension": b"\xc9\xff\xff\xff\xff\x01",
    "bad utf-8": b"\xa1\xff",
    "list as key": b"\x81\x90\x01",
    "dict as key": b"\x81\x80\x01",
    "list in a set": b"\x92" + MARK + b"s" + b"\x90",
    "unknown extension": ext(99, b""),
    "unknown extension beside a tuple": b"\x92" + ext(99, b"") + MSGPACK.dumps(()),
    "negative extension": ext(0x80, b"1"),
    "bad timestamp": ext(0xFF, b"123"),
    "short UUID": ext(1, b"123"),
    "bad decimal": ext(2, b"1,5"),
    "decimal in other letters": ext(2, "١".encode()),
    "bad datetime": ext(4, b"2026-13-01"),
    "datetime not ASCII": ext(4, b"\xff"),
    "zone outside": ext(4, b"2026-01-01T00:00:00[../../etc/passwd]"),
    "zone absolute": ext(4, b"2026-01-01T00:00:00[/etc/passwd]"),
    "zone is a folder": ext(4, b"2026-01-01T00:00:00[Europe]"),
    "zone that imports": ext(4, b"2026-01-01T00:00:00[os.path/join]"),
    "zone unknown": ext(4, b"2026-01-01T00:00:00[Mars/Base]"),
    "bad date": ext(5, b"yesterday"),
    "bad time": ext(6, b"25:00"),
    "short timedelta": ext(7, b"1"),
    "timedelta out of range": ext(7, b"\x7f" + b"\xff" * 11),
    "unknown marker": b"\x91" + MARK + b"x",
    "marker alone": MARK + b"t",
    "marker as value": b"\x81\x01" + MARK + b"t",
    "marker as key": b"\x81" + MARK + b"t\x01",
    "marker second": b"\x92\x01" + MARK + b"t",
    "marker twice": b"\x92" + MARK + b"t" + MARK + b"t",
    "marker in another form": b"\x91" + ext(10, b"t"),
    "deep lists": b"\x91" * 100_000,
    "deep maps": b"\x81\x01" * 100_000,
    "deep keys": b"\x81" * 100_000,
    "deep tuples": (b"\x92" + MARK + b"t") * 100_000,
    "deep sets": (b"\x92" + MARK + b"s") * 100_000,
    "deep and complete": b"\x91" * 100_000 + b"\x01",
    "wide claims at every level": (b"\xdd\x00\x07\xa1\x20" * 1000) + b"\x00" * 500_000,
}


def rejection(serializer: Any, data: bytes) -> str:
    with pytest.raises(DeserializationError) as caught:
        serializer.loads(data)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_a_deserialization_error(data: bytes) -> None:
    rejection(MSGPACK, data)


def test_nested_extensions_are_never_decoded_by_recursion() -> None:
    data = b""
    for _ in range(300):
        data = b"\xc8" + len(data).to_bytes(2, "big") + b"\x0a" + data
    rejection(MSGPACK, data)


def test_rejection_says_what_to_do() -> None:
    assert rejection(MSGPACK, ext(99, b"")) == (
        "the message holds a value of the unknown type 99: "
        "it is damaged or was written by another version of this package"
    )
    assert rejection(MSGPACK, HOSTILE["zone unknown"]) == (
        "the time zone Mars/Base is not known here: install or update the tzdata package"
    )
    assert rejection(MSGPACK, b"\xa2a") == (
        "the message cannot be decoded (Unpack failed: incomplete input): "
        "it is damaged or was written by another serializer"
    )
    assert "(StackError)" in rejection(MSGPACK, HOSTILE["deep lists"])


@BOTH
def test_what_is_not_bytes_is_rejected(serializer: Any) -> None:
    for data in (None, "text", 5):
        rejection(serializer, data)  # type: ignore[arg-type]


def seeded() -> random.Random:
    seed = int(os.environ.get("FUZZ_SEED", random.randrange(2**32)))
    print(f"FUZZ_SEED={seed}")
    return random.Random(seed)


def loads_or_rejects(serializer: Any, data: bytes) -> None:
    try:
        serializer.loads(data)
    except DeserializationError:
        pass
    except BaseException as error:
        raise AssertionError(f"{data!r}: {error!r}") from error


@BOTH
def test_random_bytes_never_do_more_than_fail(serializer: Any) -> None:
    rng = seeded()
    for _ in range(20_000):
        loads_or_rejects(serializer, rng.randbytes(rng.randrange(1, 40)))


def mutated(rng: random.Random, data: bytes) -> bytes:
    result = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(result) + 1)
        match rng.randrange(4):
            case 0:
                result[at : at + 1] = rng.randbytes(1)
            case 1:
                del result[at : at + rng.randrange(1, 4)]
            case 2:
                result[at:at] = rng.choice((MARK + b"t", b"\xd4", b"\x91", rng.randbytes(2)))
            case _:
                other = rng.randrange(len(result) + 1)
                result[at:at] = result[other : other + rng.randrange(1, 8)]
    return bytes(result)


def test_mutated_messages_never_do_more_than_fail() -> None:
    rng = seeded()
    valid = [MSGPACK.dumps(value) for value in SCALARS if canonical(value).count("0") < 1000]
    valid.append(MSGPACK.dumps({"all": SCALARS[:8], "t": ((1,), {2}, frozenset({(3,)}))}))
    for _ in range(40_000):
        loads_or_rejects(MSGPACK, mutated(rng, rng.choice(valid)))


def test_mutated_json_never_does_more_than_fail() -> None:
    rng = seeded()
    data = JSON.dumps({"name": "Помидор", "price": 12.5, "tags": ["a", None, True, {"n": 10**20}]})
    for _ in range(10_000):
        loads_or_rejects(JSON, mutated(rng, data))


# --- Threads


def test_sixteen_threads_share_one_serializer() -> None:
    # given values that call back into Python while they are encoded
    wrong: list[object] = []
    start = threading.Barrier(16)

    def work(number: int) -> None:
        value = [(number, Decimal(number), {"id": UUID(int=number), "t": (number,) * 5})] * 20
        start.wait()
        for _ in range(100):
            if (result := round_trip(value)) != value:
                wrong.append(result)

    # when many threads encode and decode at once
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then no message holds a part of another
    assert wrong == []


def test_encoding_inside_encoding() -> None:
    # given a list that encodes something else when it is read
    class Nosy(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            MSGPACK.dumps({"inner": (1, 2)})
            return super().__iter__()

    assert same(round_trip([1, Nosy([2, (3,)]), 4]), [1, [2, (3,)], 4])


# --- JSON


@pytest.mark.parametrize(
    "value",
    [None, True, 1, -1.5, 10**30, "Помидор\n", [], {}, {"a": [1, {"b": None}]}, SafeString("a")],
    ids=repr,
)
def test_json_makes_the_trip(value: Any) -> None:
    assert JSON.loads(JSON.dumps(value)) == value


def test_json_is_compact_utf8() -> None:
    assert JSON.dumps({"a": ["я", Size.SMALL, Level.HIGH]}) == '{"a":["я","s",3]}'.encode()


def test_json_makes_lists_of_tuples() -> None:
    assert JSON.loads(JSON.dumps({"a": (1, (2,))})) == {"a": [1, [2]]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [uuid4()]}, 'cannot encode uuid.UUID at data["a"][0]: pass plain data'),
        ({"a": {1}}, 'cannot encode set at data["a"]: pass list(it)'),
        ({"a": b"b"}, 'cannot encode bytes at data["a"]: '),
        ({"a": [{1: 2}]}, 'cannot encode a key of data["a"][0]: JSON has only str keys'),
        ({None: 2}, "cannot encode a key of data: JSON has only str keys"),
        ({"a": {(1,): 2}}, 'cannot encode a key of data["a"]: JSON has only str keys'),
        ({"a": math.nan}, 'cannot encode float at data["a"]: JSON has no nan and no inf'),
        ([1.0, -math.inf], "cannot encode float at data[1]: JSON has no nan and no inf"),
    ],
    ids=range(8),
)
def test_json_refuses_what_it_does_not_have(value: Any, message: str) -> None:
    assert message in refusal(JSON, value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"NaN",
        b"-Infinity",
        b"[1] 2",
        b"\xff",
        b"'a'",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda data: repr(data[:10]),
)
def test_json_rejects_what_is_not_json(data: bytes) -> None:
    rejection(JSON, data)


# --- Choosing a serializer


class Reversed:
    codec = 77
    name = "reversed"

    def dumps(self, value: Any) -> bytes:
        return MSGPACK.dumps(value)[::-1]

    def loads(self, data: bytes) -> Any:
        return MSGPACK.loads(data[::-1])


def test_serializers_by_name_and_codec() -> None:
    assert isinstance(serializer_named("msgpack"), MsgpackSerializer)
    assert isinstance(serializer_named("json"), JsonSerializer)
    assert isinstance(serializer_of(1), MsgpackSerializer)
    assert isinstance(serializer_of(2), JsonSerializer)


def test_own_serializer_is_taken_as_it_is() -> None:
    own = Reversed()
    assert serializer_named(own) is own
    built_in = MsgpackSerializer()
    assert serializer_named(built_in) is built_in


@pytest.mark.parametrize("choice", ["yaml", "", None, 1, object(), Reversed, MsgpackSerializer])
def test_unknown_serializer_names_the_choices(choice: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^unknown serializer .*'msgpack', 'json', 'pickle' or an object"
    ):
        serializer_named(choice)


@pytest.mark.parametrize("codec", [0, 256, -1, "7", None, 1, 2])
def test_own_serializer_needs_a_codec_of_its_own(codec: Any) -> None:
    own = Reversed()
    own.codec = codec
    with pytest.raises(ValueError, match="codec"):
        serializer_named(own)


def test_unknown_codec_was_written_elsewhere() -> None:
    with pytest.raises(DeserializationError, match="unknown codec 9: it was written by another"):
        serializer_of(9)


# --- Stored messages stay readable


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ((1, "a"), "93d40a7401a161"),
        ({1}, "92d40a7301"),
        (frozenset({1}), "92d40a6601"),
        (UUID(int=1), "d80100000000000000000000000000000001"),
        (Decimal("1.5"), ext(2, b"1.5").hex()),
        (2**64, ext(3, b"\x01" + bytes(8)).hex()),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), ext(4, b"2026-01-02T03:00:00+00:00").hex()),
        (
            datetime(2026, 1, 2, 3, tzinfo=BERLIN, fold=1),
            ext(4, b"~2026-01-02T03:00:00[Europe/Berlin]").hex(),
        ),
        (date(2026, 1, 2), ext(5, b"2026-01-02").hex()),
        (time(3), "d70630333a30303a3030"),
        (
            timedelta(days=-1, seconds=2, microseconds=3),
            ext(7, b"\xff" * 4 + b"\0\0\0\2\0\0\0\3").hex(),
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wire_format(value: Any, data: str) -> None:
    assert MSGPACK.dumps(value).hex() == data
    assert same(MSGPACK.loads(bytes.fromhex(data)), value)


def test_plain_data_is_plain_msgpack() -> None:
    value = {"name": "tomato", "price": [1, 2.5, None, b"x"]}
    assert MSGPACK.dumps(value) == msgpack.packb(value)
