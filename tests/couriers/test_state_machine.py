"""
Random lives of a queue on a real Redis, held against a model of it after each step.

STATE_MACHINE_STEPS=20000 lives longer, STATE_MACHINE_SEED=7 lives the same life again.
"""

from __future__ import annotations

import logging
import os
import random
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from typing import Any
from uuid import UUID

import hypothesis
import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from task_helpers import ids
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from task_helpers.envelopes import open_envelope
from task_helpers.exceptions import QueueFull, TaskResultDoesNotExist
from task_helpers.retries import RetryPolicy
from tests.support.agreement import agree
from tests.support.chance import Chance
from tests.support.model import QueueModel
from tests.support.places import LATER, NEW, Id, Task, Token
from tests.support.seen import Seen, look, result_of
from tests.support.servers import RedisServer
from tests.support.wire import Wire

Q = "q"
STEPS = int(os.environ.get("STATE_MACHINE_STEPS", "4000"))
STEPS_PER_LIFE = 60
SEED = int(os.environ.get("STATE_MACHINE_SEED") or random.SystemRandom().randrange(10**9))
SETTINGS = hypothesis.settings(
    max_examples=max(1, STEPS // STEPS_PER_LIFE),
    stateful_step_count=STEPS_PER_LIFE,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

WORKERS, ROOM, MAX_DEAD = 3, 60, 4
HOUR, DAY = 3600, 86_400
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
POLICIES = [
    RetryPolicy(),
    RetryPolicy(max_attempts=3, retry_delay=HOUR, give_up_on=(KeyError,)),
    RetryPolicy(max_attempts=2, retry_delay=9 * DAY, max_retry_delay=9 * DAY),
]

workers = st.integers(0, WORKERS - 1)
some = st.integers(0, 40)
which = st.integers(0, 10**6)
priorities = st.sampled_from([0, 0, 0, 7, -7, 100, -100])
weights = st.sampled_from([1, 1, 1, 0, 3, 20])
dues = st.sampled_from(["now", "now", "delayed", "overdue"])
endings = st.lists(st.sampled_from(["good", "bad", "hopeless"]), min_size=1, max_size=4)
lossy = st.sampled_from(["add", "take", "finish", "retry", "reclaim", "renew", "cancel"])
lossy |= st.sampled_from(["requeue_dead", "repair", "any"])
ends = st.sampled_from(["finish", "retry"])
indexes = st.sampled_from(["p", "z", "s1", "s2", "d", "l", "c", "h", "f"])


class QueueLife(RuleBasedStateMachine):
    """Three workers and two clients, one of them bound to 60 tasks."""

    def __init__(self, server: redis.Redis, chance: Chance) -> None:
        super().__init__()
        server.flushall()
        chance.restart()
        self.server, self.keys, self.model = server, QueueKeys("task_helpers", Q), QueueModel()
        rooms: list[int | None] = [None, ROOM]
        self.clients = [RedisClientTaskCourier(server, max_queue_length=room) for room in rooms]
        options = {"lease": HOUR, "max_dead_letters": MAX_DEAD}
        self.workers = [RedisWorkerTaskCourier(server, **options) for _ in range(WORKERS)]
        self.wires = [Wire(courier) for courier in (*self.workers, *self.clients)]
        self.client = self.clients[0]
        self.known: list[Id] = []
        self.hands: list[list[Id]] = [[] for _ in range(WORKERS)]
        """What each worker took and has not returned, also when it was given to another one."""

    def teardown(self) -> None:
        for courier in (*self.clients, *self.workers):
            courier.close()

    def one(self, at: int) -> Id:
        return self.known[at % len(self.known)] if self.known else ids.new_ids(1)[0]

    def busy(self, at: int) -> int:
        """A worker that holds something, if there is one."""
        hands = [who for who in range(WORKERS) if self.hands[who]] or list(range(WORKERS))
        return hands[at % len(hands)]

    def lease_order(self, who: int | None = None) -> list[Token]:
        tokens = self.server.zrange(self.keys.leases, 0, -1)
        ours = b"" if who is None else self.workers[who].worker_id
        return [token for token in tokens if token.startswith(ours)]

    # --- The client

    @initialize(count=st.integers(1, 40))
    def begin(self, count: int) -> None:
        self.add(count, 0, "now", False, False)

    @rule(count=some, priority=priorities)
    def add_though_the_reply_is_lost(self, count: int, priority: int) -> None:
        self.wires[WORKERS].loses = "add"
        self.add(count, priority, "now", False, False)

    @rule(
        count=some,
        priority=priorities,
        due=dues,
        limited=st.booleans(),
        bound=st.booleans(),
        weight=weights,
    )
    def add(
        self, count: int, priority: int, due: str, limited: bool, bound: bool, weight: int = 1
    ) -> None:
        options: dict[str, Any] = {"priority": priority, "weight": weight}
        options |= {"delay": DAY} if due == "delayed" else {}
        options |= {"run_at": LONG_AGO} if due == "overdue" else {}
        options |= {"expires": 2 * DAY} if limited else {}
        data = range(len(self.known), len(self.known) + count)
        fits = not bound or not count or len(self.model.tasks) + count <= ROOM
        try:
            added = self.clients[bound].bulk_add_tasks_to_queue(Q, data, **options)
        except QueueFull:
            assert not fits
            return
        assert fits
        new = [task_id.bytes for task_id in added]
        at = {"now": None, "delayed": LATER}.get(
            due, LONG_AGO.timestamp() * 256_000 + 100 - priority
        )
        added_tasks = [Task(n, priority, limited, weight=weight) for n in data]
        self.model.add(new, added_tasks, at)
        self.known += new

    @rule(key=st.sampled_from("abc"), bound=st.booleans(), loses=st.booleans())
    def share(self, key: str, bound: bool, loses: bool) -> None:
        if loses:
            self.wires[WORKERS + bound].loses = "add"
        there = self.model.shared(key)
        fits = there or not bound or len(self.model.tasks) < ROOM
        try:
            shared = self.clients[bound].add_task_to_queue(Q, len(self.known), key=key).bytes
        except QueueFull:
            assert not fits
            return
        assert fits
        if there:
            assert shared == there
        else:
            self.model.add([shared], [Task(len(self.known), 0, False, key=key)], None)
            self.known.append(shared)

    @rule(at=which)
    def cancel(self, at: int) -> None:
        expected = self.model.cancel(self.one(at))
        assert self.client.cancel_task(Q, ids.to_uuid(self.one(at))) is expected

    @rule(at=which)
    def read(self, at: int) -> None:
        task_id = ids.to_uuid(self.one(at))
        assert self.client.get_task_status(Q, task_id) == self.model.status(task_id.bytes)
        expected = self.model.read(task_id.bytes)
        try:
            read = result_of(partial(self.client.get_task_result, Q, task_id))
        except TaskResultDoesNotExist:
            assert expected is None
        else:
            assert read == expected

    # --- The workers

    @rule(who=workers, count=st.integers(1, 40))
    def take(self, who: int, count: int) -> None:
        reclaims, loses = not self.wires[who].was_cut, self.wires[who].loses == "reclaim"
        taken = self.workers[who].get_tasks(Q, count)
        self._took(who, taken, self.model.take(who, count, reclaims, loses))

    @rule(who=workers, count=st.integers(1, 40), most=st.integers(1, 30))
    def take_by_weight(self, who: int, count: int, most: int) -> None:
        reclaims, loses = not self.wires[who].was_cut, self.wires[who].loses == "reclaim"
        try:
            taken = self.workers[who].bulk_wait_for_tasks(Q, count, 0, max_weight=most)
        except TimeoutError:
            taken = []
        expected = self.model.take(who, count, reclaims, loses, max_weight=most)
        self._took(who, taken, expected)

    def _took(self, who: int, taken: list[tuple[UUID, Any]], expected: list[Id]) -> None:
        data_of = dict(zip(self.known, range(len(self.known)), strict=True))
        assert taken == [(ids.to_uuid(task_id), data_of[task_id]) for task_id in expected]
        self._name_batch(who)
        self.hands[who] += expected

    def _name_batch(self, who: int) -> Token:
        """The model learns what the worker called its latest batch, if it took one."""
        [token] = set(self.lease_order(who)).difference(self.model.batches) or {NEW}
        self.model.name_batch(token)
        return token

    @rule(who=workers, count=st.integers(1, 40), others=st.integers(1, 40))
    def take_again_when_the_lease_has_passed(self, who: int, count: int, others: int) -> None:
        """The reply is lost, and until the repeat another worker comes by."""
        wire, other = self.wires[who], (who + 1) % WORKERS
        tokens: list[Token] = []

        def meanwhile() -> None:
            self.model.lease(who, count)
            tokens.append(self._name_batch(who))
            self._pass_leases([token for token in tokens if token])
            self.take(other, others)

        wire.loses, wire.meanwhile = "take", meanwhile
        taken = self.workers[who].get_tasks(Q, count)
        wire.meanwhile = lambda: None
        expected = self.model.take(who, count, not wire.was_cut, token=tokens[0])
        self._took(who, taken, expected)

    @rule(who=workers)
    def take_one(self, who: int) -> None:
        self.take(who, 1)

    @rule(at=which, count=some, how=endings, policy=st.sampled_from(POLICIES))
    def give(self, at: int, count: int, how: list[str], policy: RetryPolicy) -> None:
        """Also late results, of batches that were given to others."""
        who = self.busy(at)
        given, self.hands[who] = self.hands[who][:count], self.hands[who][count:]
        self._give(who, dict(zip(given, cycle(how), strict=False)), policy)

    @rule(at=which, count=some, how=endings, policy=st.sampled_from(POLICIES), name=ends)
    def give_though_the_reply_is_lost(
        self, at: int, count: int, how: list[str], policy: RetryPolicy, name: str
    ) -> None:
        self.wires[self.busy(at)].loses = name
        self.give(at, count, how, policy)

    @rule(who=workers, at=which, how=endings, policy=st.sampled_from(POLICIES))
    def give_what_another_holds(
        self, who: int, at: int, how: list[str], policy: RetryPolicy
    ) -> None:
        self._give(who, {self.one(at): how[0]}, policy)

    def _give(self, who: int, how: dict[Id, str], policy: RetryPolicy) -> None:
        makers: dict[str, Any] = {"bad": ValueError, "hopeless": KeyError}
        results = {i: makers.get(way, str)(f"{way} {who}") for i, way in how.items()}
        self.model.give(who, results, policy)
        returned = [(ids.to_uuid(task_id), result) for task_id, result in results.items()]
        self.workers[who].bulk_return_task_results(Q, returned, policy)

    @rule(at=which, count=some)
    def acknowledge(self, at: int, count: int) -> None:
        who = self.busy(at)
        given, self.hands[who] = self.hands[who][:count], self.hands[who][count:]
        self.model.acknowledge(who, given)
        self.workers[who].acknowledge_tasks(Q, map(ids.to_uuid, given))

    @rule(at=which)
    def renew(self, at: int) -> None:
        who = self.busy(at)
        self.model.renew(who)
        self.workers[who].renew_leases(Q, f"worker {who}")

    @rule(at=which, count=st.none() | some)
    def release(self, at: int, count: int | None) -> None:
        who = self.busy(at)
        given = self.hands[who][:count]
        self.model.release(who, None if count is None else given)
        named = None if count is None else [ids.to_uuid(task_id) for task_id in given]
        self.workers[who].release_tasks(Q, named)

    @rule(at=which)
    def see_it_die(self, at: int) -> None:
        """It may live all the same."""
        self._die(self.busy(at))

    @rule(who=workers)
    def die_over_one(self, who: int) -> None:
        self.take(who, 1)
        self._die(who)

    def _die(self, who: int) -> None:
        tokens = self.lease_order(who)
        other = self.workers[(who + 1) % WORKERS]
        self.model.bury(tokens)
        assert other.reclaim_tasks_of(Q, self.workers[who].worker_id) == len(tokens)

    # --- Time

    @precondition(lambda self: self.model.batches)
    @rule(first=which, count=st.integers(1, 3))
    def leases_pass(self, first: int, count: int) -> None:
        order = list(self.model.batches)[first % len(self.model.batches) :][:count]
        self._pass_leases([token for token in order if self.model.batches[token].leased])

    def _pass_leases(self, tokens: list[Token]) -> None:
        self.model.pass_leases(tokens)
        for token in tokens:
            assert self.server.zadd(self.keys.leases, {token: 1}, xx=True) == 0

    @rule()
    def delays_pass(self) -> None:
        self.model.pass_delays()
        for task_id, due in self.server.zrange(self.keys.delayed, 0, -1, withscores=True):
            self.server.zadd(self.keys.delayed, {task_id: due % 256}, xx=True)

    @rule()
    def deadlines_pass(self) -> None:
        for task_id in self.model.pass_deadlines():
            header, payload = open_envelope(self.server.hget(self.keys.tasks, task_id) or b"")
            envelope = header._replace(deadline=1).pack() + payload
            self.server.hset(self.keys.tasks, task_id, envelope)

    @rule()
    def results_expire(self) -> None:
        self.model.results.clear()
        for key in self.server.keys(self.keys.bucket(bytes(16))[:-1] + b"*"):
            self.server.delete(key)

    # --- Dead letters

    @rule(at=which, count=st.integers(1, MAX_DEAD))
    def requeue_dead_letters(self, at: int, count: int) -> None:
        wanted = self._dead_letters(at, count)
        expected = self.model.requeue(wanted)
        assert self.client.requeue_dead_letters(Q, map(ids.to_uuid, wanted)) == expected

    @rule(at=which, count=st.integers(1, MAX_DEAD))
    def delete_dead_letters(self, at: int, count: int) -> None:
        wanted, loses = self._dead_letters(at, count), self.wires[-2].loses == "any"
        expected = self.model.delete_dead(wanted)
        deleted = self.client.delete_dead_letters(Q, map(ids.to_uuid, wanted))
        assert deleted == expected or loses

    def _dead_letters(self, at: int, count: int) -> list[Id]:
        letters = [letter.task_id.bytes for letter in self.client.get_dead_letters(Q)]
        return letters[at % (len(letters) or 1) :][:count]

    # --- Faults

    @rule(name=lossy)
    def lose_a_reply(self, name: str) -> None:
        """Each courier loses the reply to its next call of this script."""
        for wire in self.wires:
            wire.loses = name

    @rule(who=workers, over=st.booleans())
    def outage(self, who: int, over: bool) -> None:
        """A worker that was cut off reclaims nothing for a while."""
        self.wires[who].set_grace(not over)

    @rule()
    def scripts_are_forgotten(self) -> None:
        self.server.script_flush()

    @rule(name=indexes)
    def lose_an_index(self, name: str) -> None:
        self.model.lose(name)
        self.server.delete(self.keys.tasks[:-1] + name.encode())

    @precondition(lambda self: self.model.batches)
    @rule(at=which)
    def lose_a_batch(self, at: int) -> None:
        token = list(self.model.batches)[at % len(self.model.batches)]
        self.model.lose_batch(token)
        self.server.delete(self.keys.batch(token))

    @rule()
    def repair(self) -> None:
        loses = self.wires[-2].loses in ("repair", "any")
        expected = self.model.repair()
        repaired = self.client.repair_queue(Q)
        assert repaired == expected or loses
        self._adopt_order()

    def _adopt_order(self) -> None:
        """Repaired ids come in any order."""
        seen, model = look(self.server, self.keys), self.model
        for line, ours in (("p", model.pending), ("s1", model.few), ("s2", model.alone)):
            theirs = seen.live(seen.lines[line])
            assert sorted(theirs) == sorted(ours)
            ours[:] = theirs
        assert len(seen.places) == len(seen.tasks)

    # --- What always holds

    @invariant()
    def redis_and_model_agree(self) -> None:
        seen = look(self.server, self.keys)
        self._adopt_bound_of_dead(seen)
        agree(seen, self.model)

    def _adopt_bound_of_dead(self, seen: Seen) -> None:
        """Which of the dead letters of one millisecond make room, nobody promises."""
        assert seen.dead[0] == seen.dead[1] == seen.dead[2]
        if len(self.model.dead) > MAX_DEAD:
            assert len(seen.dead[0]) == MAX_DEAD
            assert seen.dead[0] <= self.model.dead.keys()
            self.model.dead = {i: t for i, t in self.model.dead.items() if i in seen.dead[0]}
        self._let_dead_letters_age()

    def _let_dead_letters_age(self) -> None:
        """Those of a later step are newer, also when both steps were made in one millisecond."""
        if letters := self.server.zrange(self.keys.dead, 0, -1):
            self.server.zadd(self.keys.dead, {letter: at for at, letter in enumerate(letters)})


def test_whatever_happens_every_task_is_in_one_state(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"STATE_MACHINE_SEED={SEED}")
    caplog.set_level(logging.ERROR, "task_helpers")  # late results are the daily bread here
    with server.client() as connection:
        lives = hypothesis.seed(SEED)(partial(QueueLife, connection, Chance(monkeypatch)))
        run_state_machine_as_test(lives, settings=SETTINGS)
