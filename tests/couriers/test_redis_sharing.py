"""Shared tasks on Redis: hints to all processes, lost replies, keys of a wrong type."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from task_helpers import exceptions
from task_helpers.couriers._lookout import SWEEP_SECONDS
from task_helpers.couriers._redis.keys import QueueKeys
from tests.support.faults import LostReplies
from tests.support.waiting import PATIENCE, Stopwatch, in_thread, wait_until

Q = "q"


@pytest.fixture
def keys(prefix: str) -> QueueKeys:
    return QueueKeys(prefix, Q)


def end_all(worker: Any, result: Any = "result") -> int:
    tasks = worker.get_tasks(Q)
    worker.bulk_return_task_results(Q, [(task_id, result) for task_id, _ in tasks])
    return len(tasks)


@pytest.mark.parametrize("end", ["small", "large", "cancelled"])
def test_every_process_that_shares_a_task_gets_the_hint(courier: Any, other: Any, end: str) -> None:
    # given a task of one process that another one waits for, listening
    task_id = courier.add_task_to_queue(Q, 1, key="report")
    call = in_thread(other.call, Q, 1, timeout=60, key="report")
    wait_until(lambda: other._transport._hints._lead._leader)
    wait_until(lambda: other.get_queue_stats(Q).waiting)
    watch = Stopwatch()
    # when it ends
    if end == "cancelled":
        courier.cancel_task(Q, task_id)
    else:
        end_all(courier, "result" if end == "small" else "x" * 5000)
    # then the other one knows at once, before anybody looks for all who wait
    assert isinstance(call.exception(PATIENCE), exceptions.TaskCancelled | None)
    assert watch.seconds < SWEEP_SECONDS / 2


def test_an_add_whose_reply_was_lost_is_made_once(courier: Any, other: Any) -> None:
    fault = LostReplies(courier, "add")
    task_id = courier.add_task_to_queue(Q, 1, key="report")
    assert fault.lost == 1
    assert other.get_tasks(Q) == [(task_id, 1)]
    assert other.add_task_to_queue(Q, 2, key="report") == task_id


def test_a_task_that_ends_before_the_add_is_repeated_is_not_added_again(
    courier: Any, other: Any
) -> None:
    fault = LostReplies(courier, "add", meanwhile=lambda: end_all(other))
    assert courier.call(Q, 1, timeout=10, key="report") == "result"
    assert fault.lost == 1
    assert other.get_tasks(Q) == []


def test_an_add_that_shared_and_is_repeated_shares_again(courier: Any, other: Any) -> None:
    task_id = other.add_task_to_queue(Q, 1, key="report")
    LostReplies(courier, "add")
    assert courier.add_task_to_queue(Q, 2, key="report") == task_id
    assert end_all(other) == 1


def test_nothing_is_left_of_a_key(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    for sharer in (courier, courier, other):
        task_id = sharer.add_task_to_queue(Q, 1, key="report")
    assert redis_connection.hlen(keys.flights) == 2
    courier.add_task_to_queue(Q, 1, key="another report")
    assert end_all(other) == 2
    assert redis_connection.exists(keys.flights) == 0
    courier.add_task_to_queue(Q, 1, key="report")
    task_id = other.add_task_to_queue(Q, 1, key="report")
    assert courier.cancel_task(Q, task_id)
    assert redis_connection.exists(keys.flights) == 0


def test_an_index_of_a_wrong_type_costs_the_sharing_and_no_result(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    # given a task, and the index of keys overwritten
    first = courier.add_task_to_queue(Q, 1, key="report")
    redis_connection.delete(keys.flights)
    redis_connection.set(keys.flights, "not ours")
    # when there is another one of this key, then it is added, and shared from now on
    second = courier.add_task_to_queue(Q, 2, key="report")
    assert second != first
    assert courier.add_task_to_queue(Q, 3, key="report") == second
    assert end_all(other) == 2
    for task_id in (first, second):
        assert courier.wait_for_task_result(Q, task_id, timeout=5) == "result"


def test_a_lost_index_of_keys_costs_the_sharing_and_no_result(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    first = courier.add_task_to_queue(Q, 1, key="report")
    redis_connection.hdel(keys.flights, first.bytes)
    assert other.add_task_to_queue(Q, 1, key="report") == first
    redis_connection.delete(keys.flights)
    second = other.add_task_to_queue(Q, 2, key="report")
    assert second != first
    assert end_all(other) == 2
    for task_id in (first, second):
        assert courier.wait_for_task_result(Q, task_id, timeout=5) == "result"


@pytest.mark.parametrize("garbage", [b"\xc1", b"\x90", b"\x91\x05", b"text", b""])
def test_a_damaged_note_of_who_shares_harms_nobody(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys, garbage: bytes
) -> None:
    # given a shared task, and bytes in the place of those who share it
    ended, cancelled = (courier.add_task_to_queue(Q, n, key=f"report {n}") for n in range(2))
    for task_id in (ended, cancelled):
        redis_connection.hset(keys.flights, task_id.bytes, garbage)
    # when it is shared again, and ends in one way or the other
    assert other.add_task_to_queue(Q, 0, key="report 0") == ended
    redis_connection.hset(keys.flights, ended.bytes, garbage)
    assert other.cancel_task(Q, cancelled)
    assert end_all(other) == 1
    # then both have their end
    assert courier.wait_for_task_result(Q, ended, timeout=5) == "result"
    with pytest.raises(exceptions.TaskCancelled):
        courier.wait_for_task_result(Q, cancelled, timeout=5)
