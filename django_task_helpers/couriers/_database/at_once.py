"""
What a PostgreSQL does in one statement, which is a transaction of its own: elsewhere it is several
in one. For a single task the way to the server and back is most of the time.

Parts of a statement see nothing of each other but what they return: so a part that has to wait for
another one, for the order of locks, reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.db import connections

from django_task_helpers.couriers._database.arrays import array
from django_task_helpers.couriers._database.claims import MOST_BYTES, Claimed, NewBatch
from django_task_helpers.couriers._database.ends import End
from django_task_helpers.couriers._database.ranks import Stage
from django_task_helpers.couriers._database.telling import hints_of
from django_task_helpers.couriers._database.vendors import execute
from django_task_helpers.models import Batch, Count, Result, State, Task
from task_helpers.couriers.parcels import Way
from task_helpers.ids import is_shared

_TASKS, _BATCHES = Task._meta.db_table, Batch._meta.db_table
_RESULTS, _COUNTS = Result._meta.db_table, Count._meta.db_table

_CLAIM = f"""
WITH line AS MATERIALIZED (
    SELECT id, rank, place, weight, LENGTH(envelope) AS size FROM {_TASKS}
    WHERE queue = %(queue)s AND state = {State.WAITING:d} AND rank BETWEEN %(first)s AND %(last)s
    ORDER BY rank, place, id LIMIT %(most)s FOR UPDATE SKIP LOCKED
), filled AS (
    SELECT id, ROW_NUMBER() OVER so_far AS at, SUM(size) OVER so_far AS size,
        SUM(weight) OVER so_far AS weight
    FROM line WINDOW so_far AS (ORDER BY rank, place, id)
), taken AS (
    UPDATE {_TASKS} SET state = {State.RUNNING:d}, token = %(token)s
    WHERE id = ANY(ARRAY(
        SELECT id FROM filled WHERE at = 1
        OR (size <= {MOST_BYTES} AND weight <= COALESCE(%(max_weight)s::bigint, weight))
    ))
    RETURNING id, rank, place, envelope
), batch AS (
    INSERT INTO {_BATCHES} (token, queue, lease_until, task_ids, alone, suspects)
    SELECT %(token)s, %(queue)s, %(lease_until)s,
        STRING_AGG(id, ''::bytea ORDER BY rank, place, id),
        COUNT(*) = 1 AND NOT %(beside)s, %(suspects)s
    FROM taken HAVING COUNT(*) > 0
)
SELECT id, envelope, (SELECT COUNT(*) FROM line) FROM taken ORDER BY rank, place, id"""

_FINISH = f"""
WITH dissolved AS (
    DELETE FROM {_BATCHES}
    WHERE token = %(token)s AND COALESCE(queue, queue) = %(queue)s AND %(last)s
    RETURNING token
), ended AS (
    DELETE FROM {_TASKS} WHERE id = ANY(ARRAY(
        SELECT id FROM {_TASKS}
        WHERE id = ANY(%(ids)s::bytea[]) AND COALESCE(queue, queue) = %(queue)s
            AND (SELECT COUNT(*) FROM dissolved) >= 0
        ORDER BY id FOR UPDATE
    ))
    RETURNING id
), kept AS (
    INSERT INTO {_RESULTS} (id, queue, outcome, expires_at)
    SELECT id, %(queue)s, outcome, %(expires_at)s
    FROM unnest(%(ids)s::bytea[], %(outcomes)s::bytea[]) AS given (id, outcome)
    JOIN ended USING (id) WHERE outcome <> ''::bytea
    ON CONFLICT (id) DO UPDATE SET queue = excluded.queue, outcome = excluded.outcome,
        expires_at = excluded.expires_at
), counted AS (
    INSERT INTO {_COUNTS} (queue, minute, shard, done, failed, expired, cancelled)
    SELECT %(queue)s, %(minute)s, %(shard)s, COUNT(*), 0, 0, 0 FROM ended HAVING COUNT(*) > 0
    ON CONFLICT (queue, minute, shard) DO UPDATE SET done = {_COUNTS}.done + excluded.done
), told AS (
    SELECT pg_notify(channel, payload)
    FROM unnest(%(channels)s::text[], %(payloads)s::text[]) AS hint (channel, payload)
    WHERE (SELECT COUNT(*) FROM ended) = %(count)s
)
SELECT id, (SELECT COUNT(*) FROM told) FROM ended"""


class Ended(NamedTuple):
    """
    A batch of which tasks end.

    - last - they are the last ones.
    - expires_at - of their results.
    - minute, shard - where they are counted.
    """

    queue: str
    token: bytes
    last: bool
    expires_at: int
    minute: int
    shard: int


def can(using: str) -> bool:
    return connections[using].vendor == "postgresql"


def claim(using: str, batch: NewBatch, stage: Stage, max_weight: int | None) -> Claimed:
    """See `claims.claim`."""
    first, last = stage.ranks
    values = {"first": first, "last": last, "most": stage.most, "max_weight": max_weight}
    rows = execute(connections[using], _CLAIM, {**batch._asdict(), **values})
    looked_at = rows[0][2] if rows else 0
    return Claimed([(task_id, envelope) for task_id, envelope, _ in rows], looked_at)


def can_finish(ends: Sequence[End]) -> bool:
    """Successes of tasks without a key, each once: nothing is to be asked before they end."""
    ids = {end.task_id for end in ends}
    is_plain = all(end.way is Way.DONE and not is_shared(end.task_id) for end in ends)
    return bool(ids) and is_plain and len(ids) == len(ends)


def finish(using: str, batch: Ended, ends: Sequence[End]) -> set[bytes]:
    """The ids of those that were unfinished. If these are all, whoever waits has been told."""
    hints = hints_of(ends)
    values = {
        "ids": array([end.task_id for end in ends]),
        "outcomes": array([end.outcome for end in ends]),
        "count": len(ends),
        "channels": [channel for channel, _ in hints],
        "payloads": [payload for _, payload in hints],
    }
    rows = execute(connections[using], _FINISH, {**batch._asdict(), **values})
    return {task_id for (task_id, _) in rows}
