"""What the ORM has no word for, or one too slow, in the SQL of each vendor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.constants import OnConflict

from django_task_helpers.couriers._database.arrays import array, selected
from django_task_helpers.couriers._database.turns import Turns
from django_task_helpers.models import Batch

M = TypeVar("M", bound=models.Model)
T = TypeVar("T")

Clause = tuple[str, Sequence[Any]]
"""Of a statement, and the values of its marks."""

NOTHING: Clause = ("", ())

MOST_ROWS = 500
"""Of one statement."""

_ROWS_AT_ONCE = {"sqlite": 1, "postgresql": 1_000}

_CLOCKS = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp()) * 1000",
    "mysql": "SELECT UNIX_TIMESTAMP(SYSDATE(6)) * 1000",
}


def clock_of(connection: BaseDatabaseWrapper) -> int:
    """Now in ms, by the server's clock. A file has none: all who use it are on one machine."""
    if (sql := _CLOCKS.get(connection.vendor)) is None:
        return time.time_ns() // 1_000_000
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


@contextmanager
def writing(using: str, turns: Turns, alone: bool = False) -> Iterator[None]:
    """
    A transaction; where a statement is alone, none but its own. SQLite lets one that has read wait
    for no other writer, it fails: so there the first statement is a write, of nothing.
    """
    connection = connections[using]
    if alone and not connection.in_atomic_block:
        with turns.taken(connection):
            yield
        return
    with turns.taken(connection), transaction.atomic(using=using):
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {Batch._meta.db_table} WHERE 0")
        yield


def unlocked(rows: models.QuerySet[M]) -> models.QuerySet[M]:
    """Locks rows; leaves out those that others have locked, where the server can."""
    can_skip = connections[rows.db].features.has_select_for_update_skip_locked
    return rows.select_for_update(skip_locked=can_skip)


def insert(
    using: str,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    changes: Sequence[str] = (),
    returning: Clause = NOTHING,
) -> None:
    """
    A row of values each, in a quarter of the time that objects take.

    - columns - the key is the first of them.
    - changes - what is set of rows that are there already; nothing by default.
    - returning - what the statement says at last.
    """
    connection = connections[using]
    quoted, on_conflict = connection.ops.quote_name, _on_conflict(connection, columns, changes)
    names = ", ".join(map(quoted, columns))
    statement, suffix = on_conflict[0], f"{on_conflict[1]} {returning[0]}"
    head = f"{statement} {quoted(model._meta.db_table)} ({names})"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.executemany(f"{head} VALUES ({marks(columns)}) {suffix}", rows)
            return
        for some in _parts(rows, rows_at_once(using)):
            given, values = _given(connection, model, columns, some)
            cursor.execute(f"{head} {given} {suffix}", [*values, *returning[1]])


def _given(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> Clause:
    if connection.vendor == "postgresql" and len(rows) > 1:
        return selected(connection, model, columns, rows)
    all_marks = ", ".join([f"({marks(columns)})"] * len(rows))
    return f"VALUES {all_marks}", [value for row in rows for value in row]


def rows_at_once(using: str) -> int:
    """How many one statement inserts."""
    return _ROWS_AT_ONCE.get(connections[using].vendor, MOST_ROWS)


def add_up(
    using: str, model: type[models.Model], keys: dict[str, Any], sums: dict[str, int]
) -> None:
    """Adds to the numbers of the row with these keys, which is made where it is not there."""
    connection, table = connections[using], model._meta.db_table
    names = ", ".join((*keys, *sums))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks((*keys, *sums))})"
    if connection.vendor == "mysql":
        changes = ", ".join(f"{name} = {name} + VALUES({name})" for name in sums)
        sql = f"{statement} ON DUPLICATE KEY UPDATE {changes}"
    else:
        changes = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
        sql = f"{statement} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
    execute(connection, sql, (*keys.values(), *sums.values()))


def _on_conflict(
    connection: BaseDatabaseWrapper, columns: Sequence[str], changes: Sequence[str]
) -> tuple[str, str]:
    """How the statement begins and ends."""
    what, ops = OnConflict.UPDATE if changes else OnConflict.IGNORE, connection.ops
    return ops.insert_statement(what), ops.on_conflict_suffix_sql([], what, changes, columns[:1])


def rows_of(
    using: str,
    model: type[models.Model],
    columns: Sequence[str],
    ids: Sequence[bytes],
    lock: bool = False,
    **equal: Any,
) -> list[tuple[Any, ...]]:
    """
    Those with these ids, in no order.

    - lock - they are locked, in the order of their ids, until the transaction ends.
    - equal - what else they must be.
    """
    connection, key = connections[using], model._meta.pk.column
    locked = lock and connection.features.has_select_for_update
    tail = f" ORDER BY {key} {connection.ops.for_update_sql()}" if locked else ""
    head = f"SELECT {', '.join(columns)} FROM"
    return _of_ids(connection, head, model, sorted(ids) if locked else ids, equal, tail)


def delete(using: str, model: type[models.Model], ids: Sequence[bytes], **equal: Any) -> None:
    """As `rows_of`."""
    _of_ids(connections[using], "DELETE FROM", model, ids, equal)


def _of_ids(
    connection: BaseDatabaseWrapper,
    head: str,
    model: type[models.Model],
    ids: Sequence[bytes],
    equal: dict[str, Any],
    tail: str = "",
) -> list[tuple[Any, ...]]:
    """No index but that of the ids fits: a database that guesses may take the one of the line."""
    found = list[tuple[Any, ...]]()
    where = "".join(f" AND COALESCE({name}, {name}) = %s" for name in equal)
    for part in parts_of(ids):
        some, values = among(connection, part)
        sql = f"{head} {model._meta.db_table} WHERE {model._meta.pk.column} {some}{where}{tail}"
        found += execute(connection, sql, [*values, *equal.values()])
    return found


def execute(
    connection: BaseDatabaseWrapper, sql: str, values: Sequence[Any] | Mapping[str, Any]
) -> list[Any]:
    """The rows that it replies, if any."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows = cursor.fetchall() if cursor.description else []
    if rows and any(isinstance(value, memoryview) for value in rows[0]):  # psycopg2
        return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows]
    return rows


def parts_of(ids: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """SQLite may take no more than 999 values."""
    yield from _parts(ids, MOST_ROWS)


def _parts(values: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for at in range(0, len(values), most):
        yield values[at : at + most]


def among(connection: BaseDatabaseWrapper, ids: Sequence[bytes]) -> tuple[str, Sequence[Any]]:
    """What follows the name of a key that is one of these, and its values."""
    if connection.vendor == "postgresql":
        return "= ANY(%s::bytea[])", [array(ids)]
    return f"IN ({marks(ids)})", ids


def marks(values: Sequence[Any]) -> str:
    """Where they stand in a statement."""
    return ", ".join(["%s"] * len(values))
