"""What the ORM has no word for, or one too slow, in the SQL of each vendor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_task_helpers.models import Batch, State, Task

M = TypeVar("M", bound=models.Model)

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
def writing(using: str) -> Iterator[None]:
    """
    A transaction. SQLite lets one that has read wait for no other writer, it fails: so there the
    first statement is a write, of nothing.
    """
    with transaction.atomic(using=using):
        if (connection := connections[using]).vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {Batch._meta.db_table} WHERE 0")
        yield


def unlocked(rows: models.QuerySet[M]) -> models.QuerySet[M]:
    """Locks rows; leaves out those that others have locked, where the server can."""
    can_skip = connections[rows.db].features.has_select_for_update_skip_locked
    return rows.select_for_update(skip_locked=can_skip)


def upsert(rows: models.QuerySet[M], made: Sequence[M], key: str, *fields: str) -> None:
    """Inserts them; of those that are there already it sets the fields."""
    targets = connections[rows.db].features.supports_update_conflicts_with_target
    rows.bulk_create(
        made,
        update_conflicts=True,
        update_fields=fields,
        unique_fields=[key] if targets else None,
    )


class Ahead(NamedTuple):
    """
    What a worker would find.

    - rank - of the first task in line; None: nothing waits.
    - due - the place of the first delayed task.
    - lease - the first to run out.
    - taken - a batch of that token is there already.
    """

    rank: int | None
    due: int | None
    lease: int | None
    taken: bool


def ahead(using: str, queue: str, token: bytes) -> Ahead:
    """One look that locks nothing."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(_ahead_sql(connection), [queue, queue, queue, _binary(connection, token)])
        rank, due, lease, taken = cursor.fetchone()
    return Ahead(rank, due, lease, bool(taken))


def _ahead_sql(connection: BaseDatabaseWrapper) -> str:
    rank = connection.ops.quote_name("rank")
    first = f"""FROM {Task._meta.db_table} WHERE queue = %s AND state = {{:d}}
        ORDER BY {rank}, place, id LIMIT 1"""
    return f"""SELECT
        (SELECT {rank} {first.format(State.WAITING)}),
        (SELECT place {first.format(State.DELAYED)}),
        (SELECT MIN(lease_until) FROM {Batch._meta.db_table} WHERE queue = %s),
        (SELECT COUNT(*) FROM {Batch._meta.db_table} WHERE token = %s)"""


def _binary(connection: Any, value: bytes) -> Any:
    """As its driver wants it."""
    return connection.Database.Binary(value)
