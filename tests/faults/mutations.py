"""Messages and keys that no courier wrote: workers go on, and whoever waits is told."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import redis

from task_helpers import ids, outcomes
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.envelopes import Header
from task_helpers.exceptions import CourierError, TaskHelpersError
from task_helpers.serializers import MsgpackSerializer
from tests.faults import deletions
from tests.faults.context import Context
from tests.faults.load import last, named
from tests.faults.programs import Program
from tests.faults.report import Figure, at_least, exactly, none, told
from tests.faults.worker import f
from tests.support.waiting import wait_until

QUEUE = "mutations"
MUTATED, GENUINE, RESULTS = 500, 50, 100
"""In one round: tasks that were mutated, tasks that were not, results that were mutated."""

OVERWRITTEN = (
    *("pending", "ranked", "few", "alone", "delayed", "leases", "crashes", "wake", "workers"),
    *("tasks", "bucket", "batch"),
)
CODEC = MsgpackSerializer()
VALUES: list[Any] = [7, "text", b"bytes", [1, (2, 3)], {"n": 1, "do": ["a", None]}, {4, 5}, 2**80]
TIMEOUT = 60.0


def run(context: Context) -> list[Figure]:
    wanted = context.scaled(6_000, 200_000)
    with ExitStack() as stack:
        server = stack.enter_context(context.server())
        log = context.folder("mutations") / "workers.log"
        arguments = ("tests.faults.any_data_worker", str(server.port), QUEUE)
        workers = [stack.enter_context(Program(log, *arguments)) for _ in range(2)]
        mutations = Mutations(context.random, server.client())
        while mutations.messages < wanted:
            mutations.round()
        alive = sum(worker.runs() for worker in workers)
        codes = [worker.stop() for worker in workers if worker.runs()]
        figures = [
            at_least("mutated messages", mutations.messages, wanted),
            none("worker exits", len(workers) - alive),
            none("workers that did not stop in good order", sum(map(bool, codes))),
            *mutations.figures(),
            told("errors that workers logged", log.read_text(errors="replace").count(" ERROR ")),
        ]
    return [*figures, *named("index keys deleted under load", deletions.run(context))]


class Mutations:
    """
    - messages - mutated tasks and results so far.
    - ends - how waiters of mutated tasks were answered, by name.
    - foreign - exceptions that are none of ours; hung - tasks without an end.
    - wrong - genuine tasks without their right result.
    """

    def __init__(self, numbers: random.Random, connection: redis.Redis) -> None:
        self.messages = self.rounds = self.hung = self.wrong = self.lost = 0
        self.ends = Counter[str]()
        self.foreign = Counter[str]()
        self.overwritten = Counter[str]()
        self._random = numbers
        self._connection = connection
        self._keys = QueueKeys("task_helpers", QUEUE)
        self._courier = RedisClientWorkerTaskCourier(connection)

    def figures(self) -> list[Figure]:
        letters = self._courier.get_dead_letters(QUEUE, 1000)
        reasons = sum(isinstance(letter.error, TaskHelpersError) for letter in letters)
        return [
            none("waiters that hung", self.hung),
            none("waiters that got no named error", self.foreign.total(), str(self.foreign or "")),
            *(told(f"waiters that got {name}", n) for name, n in self.ends.most_common()),
            exactly("dead letters with a reason", reasons, len(letters)),
            at_least("dead letters", len(letters), 1),
            none("genuine tasks beside them without their result", self.wrong),
            told("keys overwritten with another type", self.overwritten.total()),
            told("genuine tasks named lost with the hash that held them", self.lost),
        ]

    def round(self) -> None:
        self.rounds += 1
        overwritten = self._random.choice(OVERWRITTEN) if self.rounds % 3 == 0 else ""
        genuine, mutated = self._add(overwritten)
        self._read_mutated_results()
        if overwritten:
            last(self._random.uniform(0, 0.1))
            self._mend(overwritten)
        for end in self._ends_of(mutated):
            self.ends[type(end).__name__ if isinstance(end, Exception) else "a result"] += 1
        for number, end in enumerate(self._ends_of(genuine)):
            self._check(number, end, lost_too=overwritten in ("tasks", "bucket"))

    def _check(self, number: int, end: Any, lost_too: bool) -> None:
        if end == f(number):
            return
        if lost_too and type(end).__name__ == "TaskLost":
            self.lost += 1
        else:
            self.wrong += 1

    # --- Messages

    def _add(self, overwritten: str) -> tuple[list[UUID], list[UUID]]:
        """Genuine tasks among mutated ones; the workers are woken when all are there."""
        genuine = ids.new_ids(GENUINE)
        mutated = [self._id(task_id) for task_id in ids.new_ids(MUTATED)]
        messages = {task_id: self._mutated(self._envelope()) for task_id in mutated}
        header = Header(CODEC.codec, channel=self._courier._store.channel).pack()
        messages |= {task_id: header + CODEC.dumps(n) for n, task_id in enumerate(genuine)}
        order = list(messages)
        self._random.shuffle(order)
        with self._connection.pipeline(transaction=False) as pipeline:
            for task_id in order:
                pipeline.hset(self._keys.tasks, task_id, messages[task_id])
                self._place(pipeline, task_id)
            self._add_litter(pipeline)
            if overwritten:
                self._overwrite(pipeline, overwritten, genuine)
            pipeline.zadd(self._keys.wake, {"0": 0})
            pipeline.execute(raise_on_error=False)
        self.messages += MUTATED
        awaitable = [task_id for task_id in mutated if len(task_id) == ids.ID_BYTES]
        return [UUID(bytes=i) for i in genuine], [UUID(bytes=i) for i in awaitable]

    def _id(self, task_id: bytes) -> bytes:
        """Some are random, some are no ids."""
        kind = self._random.random()
        if kind < 0.05:
            return self._random.randbytes(16)
        return self._random.randbytes(self._random.randrange(40)) if kind < 0.06 else task_id

    def _envelope(self) -> bytes:
        header = Header(
            CODEC.codec,
            priority=self._random.randint(-100, 100),
            attempt=self._random.randrange(3),
            channel=self._random.randbytes(8),
        )
        return header.pack() + CODEC.dumps(self._random.choice(VALUES))

    def _mutated(self, message: bytes) -> bytes:
        kind = self._random.randrange(5)
        if kind == 0:
            return self._random.randbytes(self._random.randrange(100))
        if kind == 1:
            return message[: self._random.randrange(len(message))]
        if kind == 2:
            return message + self._random.randbytes(self._random.randrange(1, 20))
        changed = bytearray(message)
        for _ in range(self._random.choice((1, 1, 2, 8))):
            at, other = self._random.randrange(len(changed)), self._random.randrange(256)
            changed[at] = changed[at] ^ 1 << other % 8 if kind == 3 else other
        return bytes(changed)

    def _place(self, pipeline: Any, task_id: bytes) -> None:
        kind = self._random.randrange(20)
        if kind == 0:
            pipeline.zadd(self._keys.ranked, {task_id: self._random.uniform(-1e18, 1e18)})
        elif kind == 1:
            score = self._random.choice((float("-inf"), -1e300, 0.5, 1e12))
            pipeline.zadd(self._keys.delayed, {task_id: score})
        elif kind == 2:
            pipeline.rpush(self._keys.few, task_id)
        else:
            pipeline.rpush(self._keys.pending, task_id)

    def _add_litter(self, pipeline: Any) -> None:
        """Ids of no task, leases of no batch, crashes that are no number."""
        litter = self._random.randbytes(self._random.randrange(40))
        for line in (self._keys.pending, self._keys.few, self._keys.alone):
            pipeline.rpush(line, litter, "")
        pipeline.zadd(self._keys.ranked, {litter: self._random.uniform(-1e9, 1e9)})
        pipeline.zadd(self._keys.delayed, {litter: 0})
        pipeline.zadd(self._keys.leases, {litter: self._random.choice((0, 1, -1e300))})
        pipeline.hset(self._keys.crashes, litter, litter)

    def _read_mutated_results(self) -> None:
        good = outcomes.start_of_success(CODEC) + CODEC.dumps("result")
        bad = outcomes.encode_failure(ValueError("no"))
        fresh = ids.new_ids(RESULTS)
        with self._connection.pipeline(transaction=False) as pipeline:
            for task_id in fresh:
                stored = self._mutated(self._random.choice((good, bad)))
                pipeline.hset(self._keys.bucket(task_id), task_id, stored)
            pipeline.execute(raise_on_error=False)
        self.messages += RESULTS
        for end in self._ends_of([UUID(bytes=task_id) for task_id in fresh]):
            name = type(end).__name__ if isinstance(end, Exception) else "a value"
            self.ends[f"{name} of a mutated result"] += 1

    def _ends_of(self, task_ids: list[UUID]) -> list[Any]:
        """A key of the wrong type is an error for all that are asked for together: asked again."""
        until, ends = 20, []
        while not ends and until:
            until -= 1
            try:
                ends = self._courier.bulk_wait_for_task_results(
                    QUEUE, task_ids, timeout=TIMEOUT, return_exceptions=True
                )
            except TimeoutError:
                self.hung += 1
                return []
            except CourierError as error:
                self.ends[type(error).__name__] += 1
                self._free_buckets(task_ids)
            except Exception as error:
                self.foreign[f"{type(error).__name__}: {error}"] += 1
                return []
        return ends

    # --- Keys

    def _overwrite(self, pipeline: Any, name: str, task_ids: list[bytes]) -> None:
        """Makes a string of a key."""
        self.overwritten[name] += 1
        pipeline.set(self._key(name, task_ids), self._random.randbytes(10))

    def _key(self, name: str, task_ids: list[bytes]) -> bytes:
        if name == "bucket":
            return self._keys.bucket(self._random.choice(task_ids))
        if name == "batch":
            tokens = self._connection.zrange(self._keys.leases, 0, 0) or [b"none"]
            return self._keys.batch(tokens[0])
        key: bytes = getattr(self._keys, name)
        return key

    def _mend(self, name: str) -> None:
        """What repair_queue cannot know is what stood in the hash of all tasks."""
        if name == "tasks":
            self._connection.delete(self._keys.tasks)
        wait_until(self._repaired, TIMEOUT)

    def _repaired(self) -> bool:
        try:
            self._courier.repair_queue(QUEUE)
        except CourierError:
            return False
        return True

    def _free_buckets(self, task_ids: list[UUID]) -> None:
        for key in {self._keys.bucket(task_id.bytes) for task_id in task_ids}:
            if self._connection.type(key) == b"string":
                self._connection.delete(key)
