"""One channel for all waiters of a process: who reads it, and what happens when it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import msgpack
import pytest
import redis

from task_helpers.couriers._lookout import Waiter
from task_helpers.couriers._redis.connections import Connector
from task_helpers.couriers._redis.hints import Hints
from task_helpers.couriers._redis.keys import hint_channel
from task_helpers.effects import Listen, News
from tests.support.waiting import Stopwatch, in_thread, wait_until

A, B = uuid4().bytes, uuid4().bytes


@pytest.fixture
def hints(redis_url: str, prefix: str) -> Iterator[Hints]:
    hints = Hints(Connector(redis.Redis.from_url(redis_url, client_name=prefix)), prefix)
    yield hints
    hints.close()


class Publisher:
    """Stands in for workers: each task's outcome is its id backwards."""

    def __init__(self, connection: redis.Redis, prefix: str, hints: Hints) -> None:
        self._connection = connection
        self._channel = hint_channel(prefix, hints.channel)
        self._name = prefix

    def hint(self, *ids: bytes) -> int:
        flat = [value for task_id in ids for value in (task_id, task_id[::-1])]
        return self._connection.publish(self._channel, msgpack.packb(flat))

    def listeners(self) -> int:
        return dict(self._connection.pubsub_numsub(self._channel))[self._channel]

    def cut(self) -> None:
        for client in self._connection.client_list(_type="pubsub"):
            if client["name"] == self._name:
                self._connection.client_kill_filter(_id=client["id"])


@pytest.fixture
def publisher(redis_connection: redis.Redis, prefix: str, hints: Hints) -> Publisher:
    return Publisher(redis_connection, prefix, hints)


def waiter_for(hints: Hints, *ids: bytes) -> Waiter:
    return hints.lookout.register("queue", dict.fromkeys(ids))


def listen(hints: Hints, waiter: Waiter, seconds: float) -> News | None:
    heard = hints.listen(Listen(waiter, seconds))
    if heard is None:  # it has looked for all, and found nothing
        hints.lookout.ends_sweep()
    return heard


def listening(hints: Hints, *ids: bytes) -> Waiter:
    """A waiter that has been told of the subscription: hints may have been missed before."""
    waiter = waiter_for(hints, *ids)
    assert listen(hints, waiter, 5) is None
    return waiter


def news(*ids: bytes) -> News:
    return {task_id: task_id[::-1] for task_id in ids}


def test_a_hint_reaches_those_who_wait_for_it(hints: Hints, publisher: Publisher) -> None:
    waiter = listening(hints, A)
    publisher.hint(B, A)
    assert listen(hints, waiter, 5) == news(A)
    assert listen(hints, waiter, 0.01) == {}


def test_a_hint_between_two_waits_is_kept(hints: Hints, publisher: Publisher) -> None:
    # given two waiters, of which one is about to wait again
    first = listening(hints, A)
    second = waiter_for(hints, B)
    # when the other one reads the hint that is for both
    publisher.hint(A, B)
    assert listen(hints, first, 5) == news(A)
    # then nothing is to be waited for
    watch = Stopwatch()
    assert listen(hints, second, 5) == news(B)
    assert watch.seconds < 1


def test_the_leader_that_leaves_hands_over(hints: Hints, publisher: Publisher) -> None:
    # given a leader whose time is short, and a follower
    first = listening(hints, A)
    second = waiter_for(hints, B)
    leader = in_thread(listen, hints, first, 0.1)
    wait_until(lambda: hints._lead._leader)
    follower = in_thread(listen, hints, second, 5)
    # when the leader's time is up
    assert leader.result(2) == {}
    # then the follower reads for itself
    publisher.hint(B)
    assert follower.result(2) == news(B)


def test_the_leader_that_has_what_it_came_for_hands_over(
    hints: Hints, publisher: Publisher
) -> None:
    first = listening(hints, A)
    second = waiter_for(hints, B)
    leader = in_thread(listen, hints, first, 5)
    wait_until(lambda: hints._lead._leader)
    follower = in_thread(listen, hints, second, 5)
    publisher.hint(A)
    assert leader.result(2) == news(A)
    publisher.hint(B)
    assert follower.result(2) == news(B)


def test_a_hundred_waiters_are_read_for_by_one_connection(
    hints: Hints, publisher: Publisher
) -> None:
    ids = [uuid4().bytes for _ in range(100)]
    waiters = [listening(hints, A)] + [waiter_for(hints, i) for i in ids]
    waits = [in_thread(listen, hints, waiter, 10) for waiter in waiters[1:]]
    for task_id in ids:
        assert publisher.hint(task_id) == 1
    assert [wait.result(5) for wait in waits] == [news(i) for i in ids]


def test_after_a_cut_one_of_all_is_told_to_look(hints: Hints, publisher: Publisher) -> None:
    # given a leader and a follower
    first, second = listening(hints, A), waiter_for(hints, B)
    waits = [in_thread(listen, hints, waiter, 10) for waiter in (first, second)]
    wait_until(lambda: publisher.listeners() == 1)
    # when the connection is cut
    publisher.cut()
    # then one learns that hints may be lost, and hints come again to both
    done = wait_until(lambda: [wait for wait in waits if wait.done()])
    assert [wait.result() for wait in done] == [None]
    publisher.hint(A, B)
    assert {**(waits[0].result(5) or {}), **(waits[1].result(5) or {})}


def test_when_a_sweep_is_due_one_of_all_who_listen_is_told(hints: Hints) -> None:
    # given two who have time
    waiters = [listening(hints, A), waiter_for(hints, B)]
    # when it is time that somebody looks for both
    waits = [in_thread(listen, hints, waiter, 10) for waiter in waiters]
    done = wait_until(lambda: [wait for wait in waits if wait.done()])
    # then one is told, and the other one goes on
    assert [wait.result() for wait in done] == [None]


def test_an_interrupted_leader_leaves_a_channel_that_works(
    hints: Hints, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a leader that Ctrl-C interrupts while it reads
    waiter = listening(hints, A)
    link = hints._subscription._link
    assert link is not None

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(link, "reply", interrupted)
    publisher.hint(A)
    with pytest.raises(KeyboardInterrupt):
        listen(hints, waiter, 5)
    # when it waits again
    # then it looks at everything, and hints come again
    assert listen(hints, waiter, 5) is None
    publisher.hint(A)
    assert listen(hints, waiter, 5) == news(A)


def test_who_no_longer_waits_is_forgotten(hints: Hints) -> None:
    waiter = listening(hints, A, B)
    hints.lookout.unregister(waiter)
    assert not hints.lookout
