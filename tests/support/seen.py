"""All that Redis keeps of a queue, at one moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import redis

from task_helpers import outcomes
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.exceptions import PerformTaskError, TaskExpired
from task_helpers.serializers import serializer_of
from tests.support.model import Result
from tests.support.places import Id, Token


class Seen(NamedTuple):
    """All that Redis keeps of the queue."""

    tasks: dict[Id, bytes]
    lines: dict[str, list[Id]]
    delayed: dict[Id, float]
    leases: dict[Token, float]
    crashes: dict[Id, int]
    weights: dict[Id, int]
    flights: set[bytes]
    wakes: bool
    dead: list[set[Id]]
    batches: dict[Token, list[Id]]
    results: dict[Id, bytes]

    @property
    def places(self) -> list[Id]:
        """Where ids stand that are unfinished; what else stands in line is skipped by all."""
        lines = [*self.lines.values(), list(self.delayed), *self.batches.values()]
        return [task_id for line in lines for task_id in line if task_id in self.tasks]

    def live(self, line: list[Id]) -> list[Id]:
        return [task_id for task_id in line if task_id in self.tasks]


def look(server: redis.Redis, keys: QueueKeys) -> Seen:
    asked = server.pipeline(transaction=False)
    asked.hgetall(keys.tasks)
    for key in (keys.pending, keys.few, keys.alone):
        asked.lrange(key, 0, -1)
    asked.zrange(keys.ranked, 0, -1)
    for key in (keys.delayed, keys.leases):
        asked.zrange(key, 0, -1, withscores=True)
    asked.hgetall(keys.crashes).hgetall(keys.weights).hkeys(keys.flights)
    asked.exists(keys.wake).zrange(keys.dead, 0, -1)
    asked.hkeys(keys.dead_tasks).hkeys(keys.dead_outcomes)
    asked.keys(keys.batch(b"*")).keys(keys.bucket(bytes(16))[:-1] + b"*")
    tasks, p, s1, s2, z, d, leases, c, g, f, wakes, *dead, batches, buckets = asked.execute()
    for key in batches:
        asked.lrange(key, 0, -1)
    for key in buckets:
        asked.hgetall(key)
    found = asked.execute()
    return Seen(
        tasks,
        {"p": p, "s1": s1, "s2": s2, "z": z},
        dict(d),
        dict(leases),
        {task_id: int(crashes) for task_id, crashes in c.items()},
        {task_id: int(weight) for task_id, weight in g.items()},
        set(f),
        bool(wakes),
        [set(names) for names in dead],
        {k.removeprefix(keys.batch(b"")): v for k, v in zip(batches, found, strict=False)},
        {i: r for bucket in found[len(batches) :] for i, r in bucket.items()},
    )


def result_in(outcome: bytes) -> Result:
    start, body = outcomes.split(outcome)
    return result_of(partial(outcomes.decode, start, body, bytes(16), serializer_of))


def result_of(read: Callable[[], Any]) -> Result:
    try:
        return "done", read(), 0
    except TaskExpired as error:  # its text depends on whether a worker died with it
        return type(error).__name__, "", error.attempts
    except PerformTaskError as error:
        return type(error).__name__, error.message, error.attempts
