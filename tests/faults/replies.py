"""
Replies that are lost after Redis did what it was asked: each is asked for again, once or thrice.

A round leads a few tasks through every script over a proxy that loses replies. Beside it a courier
that loses none looks whether anything happened twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import redis

from task_helpers.couriers._redis.commands import script
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers._redis.verbs import Clock
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.exceptions import PerformTaskError
from task_helpers.retries import RetryPolicy
from task_helpers.tasks import TaskStatus
from tests.faults.context import Context
from tests.faults.load import quietly
from tests.faults.proxy import Proxy
from tests.faults.report import Figure, at_least, none, told
from tests.support.servers import RedisServer
from tests.support.waiting import in_thread, wait_until

QUEUE = "replies"
SCRIPTS = (
    *("add", "take", "finish", "retry", "renew", "reclaim"),
    *("cancel", "look", "stats", "repair", "requeue_dead"),
)
COMMANDS = ("EXEC", "TIME", "HMGET", "HDEL", "ZREM", "ZREVRANGE", "SUBSCRIBE", "HSCAN")
AGAIN = RetryPolicy(max_attempts=2, retry_delay=0)
GIVEN_UP = RetryPolicy(max_attempts=2, give_up_on=(ArithmeticError,))


def run(context: Context) -> list[Figure]:
    wanted = context.scaled(200, 2_000)
    with quietly(), context.server() as server, Proxy(server.port) as proxy:
        rounds = Rounds(context, server, proxy, wanted)
        while proxy.lost.total() < wanted:
            rounds.round()
        return rounds.figures()


class Rounds:
    """
    - lossy - the courier whose replies are lost; direct - the one that checks.
    - broken - how often something was otherwise than without faults, by what it was.
    """

    def __init__(self, context: Context, server: RedisServer, proxy: Proxy, wanted: int) -> None:
        self._wanted = wanted
        self._random = context.random
        self._proxy = proxy
        self._connection = server.client()
        self._keys = QueueKeys("task_helpers", QUEUE)
        self.lossy = RedisClientWorkerTaskCourier(redis.Redis(port=proxy.port))
        self.direct = RedisClientWorkerTaskCourier(server.client())
        self.broken = Counter[str]()
        self.tasks = 0

    def figures(self) -> list[Figure]:
        names = {script(name).digest.encode(): name for name in SCRIPTS}
        lost = {names.get(key, key.decode()): n for key, n in self._proxy.lost.items()}
        return [
            at_least("lost replies", sum(lost.values()), self._wanted),
            *(at_least(f"of {name}", lost.get(name, 0), 1) for name in (*SCRIPTS, *COMMANDS)),
            told("tasks", self.tasks),
            none("tasks lost", self.broken["lost"]),
            none("tasks added twice", self.broken["added twice"]),
            none("tasks taken twice", self.broken["taken twice"]),
            none("results other than expected", self.broken["result"]),
            none("answers other than expected", self.broken["answer"]),
            none("index keys left behind", self.broken["left"]),
        ]

    @contextmanager
    def _losing(self, *names: str) -> Iterator[None]:
        """The replies of these scripts and commands, up to three times in a row."""
        for name in names:
            request = script(name).digest.encode() if name in SCRIPTS else name.encode()
            self._proxy.lose_reply(request, self._random.choice((1, 1, 1, 2, 3)))
        yield
        self._proxy.spare_replies()

    def _expect(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            self.broken[what] += 1

    # --- One round

    def round(self) -> None:
        task_ids = self._added()
        self._cancelled(task_ids.pop())
        taken = self._taken(task_ids)
        self._returned(taken)
        self._reclaimed()
        self._called()
        self._repaired()
        self._expect("left", self._left(), [])

    def _added(self) -> list[UUID]:
        priority = self._random.choice((0, 0, 5, -5))
        with self._losing("add", *(() if priority else ("EXEC",)), "TIME"):
            # the clock is read once a minute, and would not be asked here
            self.lossy._store._clock = Clock()
            task_ids = self.lossy.bulk_add_tasks_to_queue(
                QUEUE, range(8), priority=priority, expires=600
            )
        self.tasks += 8
        indexed = self._connection.llen(self._keys.pending)
        indexed += self._connection.zcard(self._keys.ranked)
        self._expect("added twice", indexed, 8)
        self._expect("lost", self._connection.hlen(self._keys.tasks), 8)
        with self._losing("stats"):
            self._expect("answer", self.lossy.get_queue_stats(QUEUE).waiting, 8)
        return task_ids

    def _cancelled(self, task_id: UUID) -> None:
        with self._losing("cancel"):
            self._expect("answer", self.lossy.cancel_task(QUEUE, task_id), True)
        self._expect("answer", self.direct.get_task_status(QUEUE, task_id), TaskStatus.CANCELLED)
        self.direct._run(self.direct._store.forget(QUEUE, [task_id.bytes]))

    def _taken(self, expected: list[UUID]) -> list[UUID]:
        with self._losing("take"):
            taken = [task_id for task_id, _ in self.lossy.get_tasks(QUEUE, 8)]
        self._expect("lost", sorted(taken), sorted(expected))
        self._expect("taken twice", self.direct.get_tasks(QUEUE, 8), [])
        with self._losing("renew"):
            self.lossy.renew_leases(QUEUE, "worker")
        return taken

    def _returned(self, taken: list[UUID]) -> None:
        """Three succeed, one fails, one is tried again, one is given up, one is given back."""
        good, failed, again, dead, back = taken[:3], *taken[3:]
        with self._losing("finish"):
            self.lossy.bulk_return_task_results(
                QUEUE, [(i, n) for n, i in enumerate(good)] + [(failed, ValueError("no"))]
            )
        with self._losing("retry"):
            self.lossy.bulk_return_task_results(QUEUE, [(again, ValueError("later"))], AGAIN)
        with self._losing("finish"):
            self.lossy.bulk_return_task_results(QUEUE, [(dead, ZeroDivisionError())], GIVEN_UP)
        with self._losing("reclaim"):
            self.lossy.release_tasks(QUEUE, [back])
        with self._losing("requeue_dead", "ZREVRANGE"):
            self._expect("answer", self.lossy.requeue_dead_letters(QUEUE, [dead]), 1)
        self._awaited(good, failed)
        self._expect("lost", sorted(self._finish_all()), sorted((again, dead, back)))

    def _awaited(self, good: list[UUID], failed: UUID) -> None:
        with self._losing("HMGET", "HDEL", "SUBSCRIBE"):
            results = self.lossy.bulk_wait_for_task_results(
                QUEUE, [*good, failed], timeout=10, return_exceptions=True
            )
        self._expect("result", results[:3], [0, 1, 2])
        self._expect("result", isinstance(results[3], PerformTaskError), True)
        self._expect("result", self.direct.check_for_done(QUEUE, good[0]), False)

    def _finish_all(self) -> list[UUID]:
        """Takes and ends what is left; its ids, each as often as it was taken."""
        taken: list[UUID] = []
        while tasks := self.lossy.get_tasks(QUEUE, 8):
            taken += [task_id for task_id, _ in tasks]
            with self._losing("finish"):
                self.lossy.bulk_return_task_results(QUEUE, [(i, str(i)) for i, _ in tasks])
            ids = [task_id for task_id, _ in tasks]
            results = self.direct.bulk_wait_for_task_results(QUEUE, ids, timeout=10)
            self._expect("result", results, list(map(str, ids)))
        return taken

    def _reclaimed(self) -> None:
        """Another worker died over two tasks: each is blamed once, and runs again."""
        task_ids = self.direct.bulk_add_tasks_to_queue(QUEUE, range(2))
        self.tasks += 2
        self.direct.get_tasks(QUEUE, 2)
        tokens = self._connection.zrange(self._keys.leases, 0, -1)
        self._connection.zadd(self._keys.leases, dict.fromkeys(tokens, 1))
        self.lossy._store._ask.health._outage_at = 0.0  # the lost replies were no outage
        with self._losing("reclaim"):
            first = [task_id for task_id, _ in self.lossy.get_tasks(QUEUE, 8)]
        self._expect("answer", self._connection.hvals(self._keys.crashes), [b"1", b"1"])
        self.lossy.acknowledge_tasks(QUEUE, first)
        self._expect("lost", sorted(first + self._finish_all()), sorted(task_ids))

    def _called(self) -> None:
        """A caller whose hints are lost, and whose looks are."""
        with self._losing("SUBSCRIBE", "look", "EXEC"):
            self.lossy._transport._hints._subscription.close()
            caller = in_thread(self.lossy.call, QUEUE, "call", timeout=30)
            self.tasks += 1
            look = script("look").digest.encode()
            wait_until(lambda: self._proxy.is_sparing(look))
            [(task_id, _)] = self.direct.bulk_wait_for_tasks(QUEUE, 8, timeout=10)
            self._expect("taken twice", self.direct.get_tasks(QUEUE, 8), [])
            self.direct.return_task_result(QUEUE, task_id, "answer")
            self._expect("result", caller.result(30), "answer")

    def _repaired(self) -> None:
        task_ids = self.direct.bulk_add_tasks_to_queue(QUEUE, range(3))
        self.tasks += 3
        self._connection.delete(self._keys.pending)
        with self._losing("repair", "HSCAN"):
            self.lossy.repair_queue(QUEUE)
        self._expect("lost", sorted(self._finish_all()), sorted(task_ids))
        with self._losing("ZREM"):
            self.lossy.say_farewell(QUEUE, "worker")

    def _left(self) -> list[bytes]:
        keys, kept = self._keys, (self._keys.dead, self._keys.wake, self._keys.sequence)
        found = self._connection.keys(keys.batch(b"")[:-2] + b"*")
        return [key for key in found if key not in kept and self._connection.pttl(key) < 0]
