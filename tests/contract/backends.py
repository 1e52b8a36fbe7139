"""
The table of backends that the contract is held against.

A new one is a `Stand` and a line in BACKENDS. One whose couriers are awaitable hands out a wrapper
that runs each coroutine to its end: the suite knows blocking methods only.
"""

from __future__ import annotations

import enum
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import redis
from django.db.models import F, Max, Model, QuerySet

from django_task_helpers import models
from django_task_helpers.couriers import database, database_async
from task_helpers.couriers import memory, memory_async, redis_async
from task_helpers.couriers import redis as over_redis
from tests.support.clock import Clock
from tests.support.event_loops import Blocking, LoopThread


class Can(enum.Enum):
    """What not every backend can."""

    BE_SHARED_BY_PROCESSES = enum.auto()
    GO_ON_AFTER_A_FORK = enum.auto()


class Stand(ABC):
    """Couriers of one backend that talk to each other, and what a test may do behind them."""

    def __init__(self) -> None:
        self.opened = ExitStack()

    def client(self, **options: Any) -> Any:
        return self._open("Client", options)

    def worker(self, **options: Any) -> Any:
        return self._open("Worker", options)

    def both(self, **options: Any) -> Any:
        return self._open("ClientWorker", options)

    def close(self) -> None:
        self.opened.close()

    def _open(self, role: str, options: dict[str, Any]) -> Any:
        courier = self.make(role, options)
        self.opened.callback(courier.close)
        return courier

    @abstractmethod
    def make(self, role: str, options: dict[str, Any]) -> Any:
        """A courier for "Client", "Worker" or "ClientWorker"."""

    @abstractmethod
    def make_async(self, role: str, options: dict[str, Any]) -> Any:
        """The same, awaitable."""

    @abstractmethod
    def pass_leases(self, queue: str) -> None:
        """All leases of the queue have run out now: their workers are dead, or as good as."""

    @abstractmethod
    def pass_delays(self, queue: str) -> None:
        """All delayed tasks of the queue are due now."""

    @abstractmethod
    def pass_results(self, queue: str) -> None:
        """All results of the queue have outlived their `result_ttl` now."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Some time passes; give very little."""

    @abstractmethod
    def swap(self, queue: str, one: UUID, other: UUID) -> None:
        """The stored bytes of two unfinished tasks change places."""

    @abstractmethod
    def leftovers(self, queue: str) -> list[str]:
        """What the backend still keeps of the queue; results that will expire do not count."""


def in_event_loop(stand: Stand) -> Stand:
    """The same with awaitable couriers, all in one event loop in a thread of its own."""
    loop, make = stand.opened.enter_context(LoopThread()), stand.make_async
    stand.make = lambda role, options: Blocking(make(role, options), loop)  # type: ignore[method-assign]
    return stand


class MemoryStand(Stand):
    def __init__(self) -> None:
        super().__init__()
        self._clock = Clock()
        self._server = memory.MemoryServer(now=self._clock)

    def make(self, role: str, options: dict[str, Any]) -> Any:
        return getattr(memory, f"Memory{role}TaskCourier")(self._server, **options)

    def make_async(self, role: str, options: dict[str, Any]) -> Any:
        return getattr(memory_async, f"MemoryAsync{role}TaskCourier")(self._server, **options)

    def pass_leases(self, queue: str) -> None:
        self._clock.advance(31)

    def pass_delays(self, queue: str) -> None:
        self._clock.advance(86_400)

    def pass_results(self, queue: str) -> None:
        self._clock.advance(601)

    def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def swap(self, queue: str, one: UUID, other: UUID) -> None:
        tasks = self._server.place(queue).queue.tasks
        tasks[one.bytes], tasks[other.bytes] = tasks[other.bytes], tasks[one.bytes]

    def leftovers(self, queue: str) -> list[str]:
        state = self._server.place(queue).queue
        holds = {
            "tasks": state.tasks,
            "delayed": state.delayed,
            "batches": state.batches,
            "dead": state.dead,
            "weights": state.weights,
            "keys": state.by_key,
            "waiting": state.has_waiting(),
        }
        return [name for name, value in holds.items() if value]


class RedisStand(Stand):
    def __init__(self, connection: redis.Redis, prefix: str) -> None:
        super().__init__()
        self._connection = connection
        self._prefix = prefix

    def make(self, role: str, options: dict[str, Any]) -> Any:
        courier = getattr(over_redis, f"Redis{role}TaskCourier")
        return courier(self._connection, prefix=self._prefix, **options)

    def make_async(self, role: str, options: dict[str, Any]) -> Any:
        courier = getattr(redis_async, f"RedisAsync{role}TaskCourier")
        return courier(self._connection, prefix=self._prefix, **options)

    def _key(self, queue: str, name: str) -> str:
        return f"{self._prefix}:{{{queue}}}:{name}"

    def pass_leases(self, queue: str) -> None:
        key = self._key(queue, "l")
        for token in self._connection.zrange(key, 0, -1):
            self._connection.zadd(key, {token: 1}, xx=True)

    def pass_delays(self, queue: str) -> None:
        key = self._key(queue, "d")
        for task_id, score in self._connection.zrange(key, 0, -1, withscores=True):
            self._connection.zadd(key, {task_id: score % 256}, xx=True)

    def pass_results(self, queue: str) -> None:
        for key in self._connection.scan_iter(match=self._key(queue, "r:*")):
            assert 0 < self._connection.pttl(key) <= 600_000
            self._connection.delete(key)

    def pass_time(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() <= until:
            self._connection.ping()

    def swap(self, queue: str, one: UUID, other: UUID) -> None:
        key, ids = self._key(queue, "m"), [one.bytes, other.bytes]
        first, second = self._connection.hmget(key, ids)
        self._connection.hset(key, mapping={one.bytes: second, other.bytes: first})

    def leftovers(self, queue: str) -> list[str]:
        lasting = {self._key(queue, name).encode() for name in ("seq", "w")}  # of constant size
        keys = set(self._connection.scan_iter(match=self._key(queue, "*"))) - lasting
        return sorted(key.decode() for key in keys if self._connection.pttl(key) < 0)


class DatabaseStand(Stand):
    """
    - using - the alias of a database that has the tables, and nothing in them.
    """

    def __init__(self, using: str) -> None:
        super().__init__()
        self._using = using

    def make(self, role: str, options: dict[str, Any]) -> Any:
        return getattr(database, f"Database{role}TaskCourier")(self._using, **options)

    def make_async(self, role: str, options: dict[str, Any]) -> Any:
        return getattr(database_async, f"DatabaseAsync{role}TaskCourier")(self._using, **options)

    def close(self) -> None:
        super().close()
        for model in TABLES:
            self._of(model).delete()

    def _of(self, model: type[Model]) -> QuerySet[Any]:
        return model._default_manager.using(self._using)

    def pass_leases(self, queue: str) -> None:
        self._of(models.Batch).filter(queue=queue).update(lease_until=1)

    def pass_delays(self, queue: str) -> None:
        delayed = self._of(models.Task).filter(queue=queue, state=models.State.DELAYED)
        if last := delayed.aggregate(last=Max("place"))["last"]:
            delayed.update(place=F("place") - last + time.time_ns() // 1000 - SECOND)

    def pass_results(self, queue: str) -> None:
        self._of(models.Result).filter(queue=queue).update(expires_at=1)

    def pass_time(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() <= until:
            self._of(models.Worker).exists()

    def swap(self, queue: str, one: UUID, other: UUID) -> None:
        tasks = self._of(models.Task).filter(queue=queue)
        first, second = tasks.get(id=one.bytes), tasks.get(id=other.bytes)
        tasks.filter(id=first.id).update(envelope=second.envelope)
        tasks.filter(id=second.id).update(envelope=first.envelope)

    def leftovers(self, queue: str) -> list[str]:
        lasting = (models.Task, models.Batch, models.SharedKey, models.DeadLetter, models.Drain)
        rows = ((model, self._of(model).filter(queue=queue)) for model in lasting)
        return [model.__name__ for model, found in rows if found.exists()]


SECOND = 1_000_000
"""Of places, which are µs: so far may clocks be apart."""

TABLES = (
    models.Task,
    models.Batch,
    models.SharedKey,
    models.Result,
    models.DeadLetter,
    models.Worker,
    models.Count,
    models.Drain,
)


@dataclass(frozen=True)
class Backend:
    """`stand` makes one for a test; `request` gives it fixtures such as a connection."""

    name: str
    stand: Callable[[pytest.FixtureRequest], Stand]
    can: frozenset[Can] = frozenset()


def _redis_stand(request: pytest.FixtureRequest) -> Stand:
    return RedisStand(
        request.getfixturevalue("redis_connection"), request.getfixturevalue("prefix")
    )


def _database(fixture: str) -> Callable[[pytest.FixtureRequest], Stand]:
    """The fixture gives its alias."""
    return lambda request: DatabaseStand(request.getfixturevalue(fixture))


def _database_async(fixture: str) -> Callable[[pytest.FixtureRequest], Stand]:
    return lambda request: in_event_loop(DatabaseStand(request.getfixturevalue(fixture)))


PROCESSES = frozenset({Can.BE_SHARED_BY_PROCESSES, Can.GO_ON_AFTER_A_FORK})
NO_FORKS = frozenset({Can.BE_SHARED_BY_PROCESSES})
"""Of Django's thread for coroutines there is none in a child that was forked after it began."""


BACKENDS = [
    Backend("memory", lambda request: MemoryStand()),
    Backend("memory-async", lambda request: in_event_loop(MemoryStand())),
    Backend("redis", _redis_stand, PROCESSES),
    Backend("redis-async", lambda request: in_event_loop(_redis_stand(request)), PROCESSES),
    Backend("sqlite", _database("sqlite_wal"), PROCESSES),
    Backend("sqlite-async", _database_async("sqlite_wal"), NO_FORKS),
    Backend("sqlite-journal", _database("sqlite_delete"), PROCESSES),
    Backend("postgres", _database("on_postgres"), PROCESSES),
    Backend("postgres-async", _database_async("on_postgres"), NO_FORKS),
    Backend("mariadb", _database("on_mariadb"), PROCESSES),
    Backend("mariadb-async", _database_async("on_mariadb"), NO_FORKS),
]
