"""A Redis without room under `noeviction`, and one that would throw tasks away."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import redis

from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.exceptions import CourierError, StoreFull
from task_helpers.retries import RetryPolicy
from tests.faults.context import Context, Field
from tests.faults.load import last, named, quietly
from tests.faults.report import Figure, at_least, exactly, none
from tests.faults.worker import f
from tests.support.waiting import in_thread, wait_until

QUEUE = "memory"
BULK = 500
AGAIN = RetryPolicy(max_attempts=2, retry_delay=0)
GIVEN_UP = RetryPolicy(max_attempts=2, give_up_on=(ArithmeticError,))


def run(context: Context) -> list[Figure]:
    return [
        *named("filled under load", filled_under_load(context)),
        *named("full all the time", full_all_the_time(context)),
        *named("evicting policy", evicting(context)),
    ]


# --- One adds faster than workers perform


def filled_under_load(context: Context) -> list[Figure]:
    """Whoever is refused waits for room; results are read and deleted, as callers do."""
    wanted, refused = context.scaled(15_000, 100_000), 0
    settings = {"maxmemory": "2500kb", "maxmemory_policy": "noeviction"}
    readers: list[Future[int]] = []
    with context.server(**settings) as server, context.field(server=server) as field:
        for _ in range(2):
            field.start(batch=200, batch_seconds=0.08)
        while len(field.numbers) < wanted:
            try:
                added = field.add(BULK)
            except StoreFull:
                refused += 1
                last(0.05)
            else:
                readers.append(in_thread(_read, field, added))
        right = sum(reader.result(120) for reader in readers)
        left = field.client.get_queue_stats(field.queue)
        return [
            at_least("adds refused by name", refused, 1),
            at_least("tasks added", len(field.numbers), wanted),
            exactly("tasks answered rightly", right, len(field.numbers)),
            none("tasks left", left.waiting + left.delayed + left.running + left.dead),
            none("executions beyond the first", field.ledger.duplicates()),
        ]


def _read(field: Field, task_ids: list[UUID]) -> int:
    """How many of the results are right."""
    results = field.client.bulk_wait_for_task_results(field.queue, task_ids, timeout=120)
    expected = [f(field.numbers[task_id]) for task_id in task_ids]
    return sum(result[0] == right for result, right in zip(results, expected, strict=True))


# --- Nothing is ever free


def full_all_the_time(context: Context) -> list[Figure]:
    with quietly(), context.server(maxmemory_policy="noeviction") as server:
        full = Full(server.client())
        full.exercise()
        return [
            exactly("adds refused by name", full.refused, 3),
            none("other operations refused", len(full.failed), "; ".join(full.failed)),
            exactly("tasks that ended as they should", full.ended, full.added),
            none("index keys left behind", len(full.left()), str(full.left() or "")),
        ]


class Full:
    """
    All that workers, callers and administrators do on a Redis that has no room from the start.

    - refused - adds; failed - whatever else was refused, and why.
    - added, ended - tasks.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self.refused = self.added = self.ended = 0
        self.failed: list[str] = []
        self._connection = connection
        self._keys = QueueKeys("task_helpers", QUEUE)
        self._courier = RedisClientWorkerTaskCourier(connection)
        self._other = RedisClientWorkerTaskCourier(connection)

    def exercise(self) -> None:
        task_ids = self._fill()
        self._refuse_adds()
        cancelled = task_ids.pop()
        self._try("cancel", lambda: self._courier.cancel_task(QUEUE, cancelled))
        self._try("give back", self._give_back)
        self._try("reclaim", self._lose_a_worker)
        reader = in_thread(self._read, task_ids)
        self._try("fail", self._fail)
        self._try("drain", self._drain)
        self._try("read", lambda: reader.result(30))

    def _fill(self) -> list[UUID]:
        add = self._courier.bulk_add_tasks_to_queue
        task_ids = add(QUEUE, ["delayed"] * 50, delay=0.001)
        for priority in (-1, 1, 0):
            task_ids += add(QUEUE, ["data"] * 200, priority=priority)
        self.added = len(task_ids)
        self._connection.config_set("maxmemory", 1)
        return task_ids

    def _refuse_adds(self) -> None:
        for add in (
            lambda: self._courier.add_task_to_queue(QUEUE, 1),
            lambda: self._courier.bulk_add_tasks_to_queue(QUEUE, range(1500), delay=5),
            lambda: self._courier.call(QUEUE, 1, timeout=5),
        ):
            try:
                add()
            except StoreFull:
                self.refused += 1

    def _try(self, what: str, act: Callable[[], Any]) -> None:
        try:
            act()
        except (CourierError, TimeoutError) as error:
            self.failed.append(f"{what}: {error}")

    def _give_back(self) -> None:
        self._courier.get_tasks(QUEUE, 50)
        self._courier.renew_leases(QUEUE, "worker")
        self._courier.release_tasks(QUEUE)
        self.ended += 1  # the one that was cancelled

    def _lose_a_worker(self) -> None:
        self._other.get_tasks(QUEUE, 30)
        tokens = self._connection.zrange(self._keys.leases, 0, -1)
        self._connection.eval(  # a plain ZADD is refused on a full Redis
            "redis.call('ZREM', KEYS[1], ARGV[1]) redis.call('ZADD', KEYS[1], 1, ARGV[1])",
            *(1, self._keys.leases, tokens[0]),
        )

    def _fail(self) -> None:
        """One is tried again, one is kept as a dead letter and gets another chance."""
        (again, _), (dead, _) = self._take(2)
        self._courier.bulk_return_task_results(QUEUE, [(again, ValueError("later"))], AGAIN)
        self._courier.bulk_return_task_results(QUEUE, [(dead, ZeroDivisionError())], GIVEN_UP)
        wait_until(lambda: self._courier.requeue_dead_letters(QUEUE, [dead]) == 1)

    def _take(self, count: int) -> list[Any]:
        tasks: list[Any] = []
        while len(tasks) < count:
            tasks += self._courier.bulk_wait_for_tasks(QUEUE, count - len(tasks), timeout=5)
        return tasks

    def _drain(self) -> None:
        while tasks := self._courier.get_tasks(QUEUE, 100):
            self._courier.bulk_return_task_results(QUEUE, tasks)

    def _read(self, task_ids: list[UUID]) -> None:
        results = self._courier.bulk_wait_for_task_results(
            QUEUE, task_ids, timeout=20, return_exceptions=True
        )
        # a reader that is faster than the administrator sees the error of the dead letter first
        self.ended += sum(r in ("data", "delayed") or _is_expected(r) for r in results)

    def left(self) -> list[bytes]:
        keys = self._keys
        return [
            key
            for key in (keys.tasks, *keys.indexes())
            if key not in (keys.wake, keys.workers) and self._connection.exists(key)
        ]


def _is_expected(result: Any) -> bool:
    return getattr(result, "exception_type", "") == "ZeroDivisionError"


# --- Redis throws away what it likes


def evicting(context: Context) -> list[Figure]:
    """Each worker says so when it starts."""
    warned = {policy: _warnings(context, policy) for policy in ("allkeys-lru", "noeviction")}
    return [
        exactly("warnings at start under allkeys-lru", warned["allkeys-lru"], 1),
        none("warnings at start under noeviction", warned["noeviction"]),
    ]


def _warnings(context: Context, policy: str) -> int:
    with (
        context.server(maxmemory="50mb", maxmemory_policy=policy) as server,
        context.field(server=server) as field,
    ):
        worker = field.start()
        field.add(1)
        field.wait_for_executions(1)
        worker.stop()
        return field.logged("maxmemory-policy")
