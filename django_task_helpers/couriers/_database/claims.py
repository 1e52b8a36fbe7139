"""What a take asks and changes, in SQL: to make it of querysets takes longer than to run it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_task_helpers.couriers._database.ranks import Stage
from django_task_helpers.couriers._database.vendors import (
    among,
    execute,
    insert,
    parts_of,
    rows_of,
)
from django_task_helpers.models import Batch, State, Task

_TASKS, _BATCHES = Task._meta.db_table, Batch._meta.db_table

MOST_BYTES = 8_000_000
"""A batch ends at about so many, however few tasks that are."""

BATCH_COLUMNS = ("token", "queue", "lease_until", "task_ids", "alone", "suspects")


class NewBatch(NamedTuple):
    """
    - beside - its worker holds others, so that it may have been these that killed it.
    - suspects - its tasks are.
    """

    queue: str
    token: bytes
    lease_until: int
    beside: bool
    suspects: bool


class Claimed(NamedTuple):
    """
    - tasks - (id, envelope), in order.
    - looked_at - among so many: if they are as many as were wanted, there may be more.
    """

    tasks: list[tuple[bytes, bytes]]
    looked_at: int


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
    [(rank, due, lease, taken)] = execute(
        connection, _ahead_sql(connection), (queue, queue, queue, token)
    )
    return Ahead(rank, due, lease, bool(taken))


def _ahead_sql(connection: BaseDatabaseWrapper) -> str:
    rank = connection.ops.quote_name("rank")
    first = f"""FROM {_TASKS} WHERE queue = %s AND state = {{:d}}
        ORDER BY {rank}, place, id LIMIT 1"""
    return f"""SELECT
        (SELECT {rank} {first.format(State.WAITING)}),
        (SELECT place {first.format(State.DELAYED)}),
        (SELECT MIN(lease_until) FROM {_BATCHES} WHERE queue = %s),
        (SELECT COUNT(*) FROM {_BATCHES} WHERE token = %s)"""


def claim(using: str, batch: NewBatch, stage: Stage, max_weight: int | None) -> Claimed:
    """Those of that stage that fit into a batch, which is there from now on if there are any."""
    candidates = _in_line(using, batch.queue, stage)
    if not (ids := _filled(candidates, max_weight)):
        return Claimed([], 0)
    envelopes = _run(using, ids, batch.token)
    alone = len(ids) == 1 and not batch.beside
    task_ids = b"".join(ids)
    row = (batch.token, batch.queue, batch.lease_until, task_ids, alone, batch.suspects)
    insert(using, Batch, BATCH_COLUMNS, [row])
    return Claimed([(task_id, envelopes[task_id]) for task_id in ids], len(candidates))


def _in_line(using: str, queue: str, stage: Stage) -> list[tuple[bytes, int, int]]:
    """
    (id, weight, size) of the first ones, in order; locked, without those that others have locked
    where the server can leave these out.
    """
    connection = connections[using]
    features, rank = connection.features, connection.ops.quote_name("rank")
    skipping = features.has_select_for_update_skip_locked
    lock = (
        connection.ops.for_update_sql(skip_locked=skipping)
        if features.has_select_for_update
        else ""
    )
    sql = f"""SELECT id, weight, LENGTH(envelope) FROM {_TASKS}
        WHERE queue = %s AND state = {State.WAITING:d} AND {rank} BETWEEN %s AND %s
        ORDER BY {rank}, place, id LIMIT %s {lock}"""
    return execute(connection, sql, (queue, *stage.ranks, stage.most))


def is_waiting(using: str, queue: str) -> bool:
    """Whether there is more in line."""
    sql = f"SELECT 1 FROM {_TASKS} WHERE queue = %s AND state = {State.WAITING:d} LIMIT 1"
    return bool(execute(connections[using], sql, (queue,)))


def _run(using: str, ids: Sequence[bytes], token: bytes) -> dict[bytes, bytes]:
    """Moves waiting tasks into a batch; their envelopes by id."""
    connection = connections[using]
    changed = f"UPDATE {_TASKS} SET state = {State.RUNNING:d}, token = %s WHERE id"
    if connection.vendor == "mysql":
        for part in parts_of(ids):
            some, values = among(connection, part)
            execute(connection, f"{changed} {some}", [token, *values])
        return dict(rows_of(using, Task, ("id", "envelope"), ids))
    found: dict[bytes, bytes] = {}
    for part in parts_of(ids):
        some, values = among(connection, part)
        sql = f"{changed} {some} RETURNING id, envelope"
        found.update(execute(connection, sql, [token, *values]))
    return found


def _filled(candidates: Iterable[tuple[bytes, int, int]], max_weight: int | None) -> list[bytes]:
    """Those that fit together; the first one always does."""
    ids, weight, size = list[bytes](), 0, 0
    for task_id, its_weight, its_size in candidates:
        weight, size = weight + its_weight, size + its_size
        if ids and (size > MOST_BYTES or (max_weight is not None and weight > max_weight)):
            break
        ids.append(task_id)
    return ids
