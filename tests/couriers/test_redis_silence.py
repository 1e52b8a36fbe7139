"""A Redis that does not answer: nobody waits longer than said, and nobody is forgotten."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from task_helpers.couriers._redis import subscription
from task_helpers.couriers._redis.asking import Asking
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisClientWorkerTaskCourier
from task_helpers.effects import Listen
from task_helpers.exceptions import CourierUnavailable
from task_helpers.workers.base import BaseWorker
from tests.faults.proxy import Proxy
from tests.support.waiting import Stopwatch, in_thread, wait_until

Q = "silence"


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(redis_url).port or 6379) as proxy:
        yield proxy


@pytest.fixture
def courier(redis_url: str, proxy: Proxy, prefix: str) -> Iterator[Any]:
    """Reaches Redis through the proxy."""
    database = urlsplit(redis_url).path
    connection = redis.Redis.from_url(f"redis://127.0.0.1:{proxy.port}{database}")
    courier = RedisClientWorkerTaskCourier(connection, prefix=prefix, retry_seconds=10, lease=2)
    yield courier
    proxy.pass_on()
    courier.close()


@pytest.fixture
def direct(redis_connection: redis.Redis, prefix: str) -> Iterator[Any]:
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix, lease=2)
    yield courier
    courier.close()


class Echo(BaseWorker):
    queue_name = Q

    def perform_tasks(self, tasks: Any) -> Any:
        return tasks


@pytest.mark.parametrize("verb", ["hole", "cut"])
def test_a_call_takes_about_its_timeout_however_many_call(
    courier: Any, proxy: Proxy, verb: str
) -> None:
    # given a courier that has worked, and a Redis that is gone
    assert not courier.check_for_done(Q, "01a20c55-9c51-7f88-b9a9-502a06db4abc")
    getattr(proxy, verb)()
    # when 30 threads call, each for half a second
    watch = Stopwatch()
    calls = [in_thread(courier.call, Q, n, timeout=0.5) for n in range(30)]
    errors = [call.exception(timeout=20) for call in calls]
    # then all know soon, and what happened
    assert {type(error) for error in errors} == {CourierUnavailable}
    assert watch.seconds < 4


def test_who_is_interrupted_waits_for_no_redis_that_is_silent(courier: Any, proxy: Proxy) -> None:
    # given a caller that is interrupted when Redis has just fallen silent
    perform = courier._perform

    def interrupted(effect: Any) -> Any:
        if isinstance(effect, Listen):
            proxy.hole()
            raise KeyboardInterrupt
        return perform(effect)

    courier._perform = interrupted
    watch = Stopwatch()
    with pytest.raises(KeyboardInterrupt):
        courier.call(Q, 1, timeout=60)
    # then it does not try for long to abandon the task
    assert watch.seconds < 3


def test_a_result_that_was_read_is_not_held_back_by_its_deletion(
    courier: Any, direct: Any, proxy: Proxy
) -> None:
    # given a result, and a Redis that falls silent once it was read
    task_id = courier.add_task_to_queue(Q, "data")
    direct.bulk_return_task_results(Q, direct.get_tasks(Q))
    perform = courier._perform

    def silent_after_reading(effect: Any) -> Any:
        reply = perform(effect)
        if any(command[0] == "HMGET" for command in getattr(effect, "commands", ())):
            proxy.hole()
        return reply

    courier._perform = silent_after_reading
    # when it is waited for
    watch = Stopwatch()
    assert courier.wait_for_task_result(Q, task_id, timeout=1) == "data"
    assert watch.seconds < 3


def test_an_idle_worker_stops_soon_though_redis_is_silent(courier: Any, proxy: Proxy) -> None:
    # given an idle worker, cut off
    worker = Echo(courier)
    running = in_thread(worker.perform)
    wait_until(lambda: courier.get_queue_stats(Q).workers)
    proxy.hole()
    # when it is to stop
    watch = Stopwatch()
    worker.stop()
    running.result(timeout=20)
    # then it does not try for as long as `retry_seconds`
    assert watch.seconds < 6


def test_a_take_without_an_answer_is_asked_for_again_under_its_token(
    courier: Any, direct: Any, proxy: Proxy
) -> None:
    # given a take whose reply never comes
    task_id = direct.add_task_to_queue(Q, "data")
    perform = courier._perform

    def silent_after_take(effect: Any) -> Any:
        reply = perform(effect)
        if hasattr(effect, "commands"):
            raise redis.ConnectionError("the reply was lost, and so are all repeats")
        return reply

    courier._perform = silent_after_take
    with pytest.raises(CourierUnavailable):
        courier.wait_for_task(Q, timeout=0.1)
    courier._perform = perform
    # when it takes again, long before a lease has run out
    watch = Stopwatch()
    assert courier.wait_for_task(Q, timeout=1) == (task_id, "data")
    assert watch.seconds < 1


def test_a_hint_connection_that_died_without_a_word_is_replaced(
    courier: Any, direct: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a waiter whose hint connection is dead, and pings that are due soon
    monkeypatch.setattr(subscription, "SILENCE", 0.2)
    task_id = courier.add_task_to_queue(Q, 1)
    waiting = in_thread(courier.wait_for_task_result, Q, task_id, timeout=20)
    hints = courier._transport._hints
    first = wait_until(lambda: hints._subscription._link)
    first._socket.shutdown(2)
    # then another one takes its place
    wait_until(lambda: hints._subscription._link not in (None, first))
    direct.bulk_return_task_results(Q, direct.get_tasks(Q))
    assert waiting.result(20) == 1


def test_a_process_that_only_adds_does_not_stay_subscribed(
    courier: Any, direct: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a client that waited once
    monkeypatch.setattr(subscription, "SILENCE", 0.05)
    task_id = courier.add_task_to_queue(Q, 1)
    direct.bulk_return_task_results(Q, direct.get_tasks(Q))
    assert courier.wait_for_task_result(Q, task_id, timeout=5) == 1
    waiting = in_thread(courier.wait_for_task_result, Q, courier.add_task_to_queue(Q, 2), timeout=9)
    hints = courier._transport._hints
    wait_until(lambda: hints._subscription._link)
    direct.bulk_return_task_results(Q, direct.get_tasks(Q))
    assert waiting.result(9) == 2
    assert not hints.lookout, "nobody is remembered who waits no more"
    # when it adds on and waits no more
    until = time.monotonic() + 5
    while hints._subscription._link and time.monotonic() < until:
        courier.add_task_to_queue(Q, 3)
    # then nothing is sent to it any more
    assert hints._subscription._link is None


@pytest.mark.parametrize("options", [{}, {"priority": 5}], ids=["plain", "not"])
def test_an_add_asks_a_silent_redis_for_no_longer_than_it_may(options: Any) -> None:
    # given a Redis that takes everything and answers nothing
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        silent = redis.Redis(port=port)
        courier, watch = RedisClientTaskCourier(silent, retry_seconds=0.1), Stopwatch()
        # when a task is added
        with pytest.raises(CourierUnavailable):
            courier.add_task_to_queue(Q, 1, **options)
    # then it is given up after one attempt: a socket waits for 5 s
    assert watch.seconds < 8


def test_what_was_only_handed_on_is_no_answer() -> None:
    # given a Redis that has been silent for longer than anybody asks it again
    asking = Asking("nowhere", retry_seconds=1)
    asking.health.note_outage(time.monotonic() - 5)
    assert asking.is_gone()
    # when commands go along with those of another thread
    flow = asking.once([], "add", lambda: ([], []), unless=lambda error: None)
    next(flow)
    with pytest.raises(StopIteration):
        flow.send([])
    # then it is as silent as before
    assert asking.is_gone()
