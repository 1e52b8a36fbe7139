"""Keys that somebody overwrote, tasks that are no tasks: workers go on, and repair mends it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from task_helpers import exceptions
from task_helpers.couriers._redis.keys import MINUTE_MS, QueueKeys
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.retries import RetryPolicy
from task_helpers.serializers import MsgpackSerializer
from task_helpers.tasks import TaskStatus
from task_helpers.workers import _outages
from task_helpers.workers.base import BaseWorker
from tests.support.waiting import in_thread, wait_until

Q = "q"


class Doubler(BaseWorker):
    queue_name = Q
    max_tasks_per_iteration = 10

    def perform_single_task(self, task: Any) -> Any:
        return task[1] * 2


@pytest.fixture
def keys(prefix: str) -> QueueKeys:
    return QueueKeys(prefix, Q)


@pytest.fixture
def worker(other: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseWorker]:
    """One that runs, and must run to the end of the test."""
    monkeypatch.setattr(_outages, "PAUSE", 0.01)
    worker = Doubler(other)
    run = in_thread(worker.perform)
    wait_until(lambda: other.get_queue_stats(Q).workers)
    yield worker
    worker.stop()
    run.result(10)


def token_of(connection: redis.Redis, keys: QueueKeys) -> bytes:
    [token] = connection.zrange(keys.leases, 0, -1)
    return bytes(token)


@pytest.mark.parametrize("index", ["pending", "ranked", "few", "delayed", "leases"])
def test_a_worker_outlives_an_index_of_a_wrong_type_and_goes_on_when_it_is_mended(
    courier: Any,
    worker: Any,
    redis_connection: redis.Redis,
    keys: QueueKeys,
    index: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a worker that meets a key of the wrong type
    with redis_connection.pipeline() as both:
        both.delete(getattr(keys, index))
        both.set(getattr(keys, index), "not ours").execute()
    wait_until(lambda: "WRONGTYPE" in caplog.text)
    # when the queue is repaired
    courier.repair_queue(Q)
    # then the worker works
    assert courier.call(Q, 21, timeout=10) == 42
    assert "mended by repair_queue()" in caplog.text


@pytest.mark.parametrize("index", ["pending", "ranked", "delayed", "wake", "sequence"])
@pytest.mark.parametrize("options", [{}, {"priority": 5}, {"delay": 5}], ids=str)
def test_an_add_that_is_refused_added_nothing(
    courier: Any, redis_connection: redis.Redis, keys: QueueKeys, index: str, options: Any
) -> None:
    redis_connection.set(getattr(keys, index), "not ours")
    refused = False
    try:
        courier.add_task_to_queue(Q, 1, **options)
    except exceptions.CourierError as error:
        refused = "\n" not in str(error)
    redis_connection.delete(getattr(keys, index))
    assert courier.repair_queue(Q) == 0
    assert sum(courier.get_queue_stats(Q)[:2]) == (0 if refused else 1)


def test_repair_brings_back_the_tasks_of_an_index_of_a_wrong_type(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))
    other.get_tasks(Q, 1)
    redis_connection.set(keys.pending, "not ours")
    redis_connection.set(keys.batch(token_of(redis_connection, keys)), "not ours")
    assert courier.repair_queue(Q) == 3
    assert {task_id for task_id, _ in courier.get_tasks(Q)} == set(task_ids)


def test_a_result_finds_its_place_though_a_wrong_key_stands_there(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    other.get_task(Q)
    redis_connection.set(keys.bucket(task_id.bytes), "not ours")
    other.return_task_result(Q, task_id, "result")
    assert courier.wait_for_task_result(Q, task_id, timeout=5) == "result"


def test_a_late_result_is_refused_though_a_wrong_key_stands_there(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys, caplog: Any
) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    other.return_task_result(Q, *other.get_task(Q))
    redis_connection.delete(keys.bucket(task_id.bytes))
    redis_connection.set(keys.bucket(task_id.bytes), "not ours")
    other.return_task_result(Q, task_id, "late")
    assert "too late" in caplog.text
    with pytest.raises(exceptions.CourierError, match="WRONGTYPE"):
        courier.wait_for_task_result(Q, task_id, timeout=5)


def test_an_overdue_batch_of_a_wrong_type_holds_nobody_up(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    # given the batch of a dead worker, whose key was overwritten
    lost = courier.add_task_to_queue(Q, 1)
    other.get_task(Q)
    token = token_of(redis_connection, keys)
    redis_connection.set(keys.batch(token), "not ours")
    redis_connection.zadd(keys.leases, {token: 1})
    # when others work, they get their tasks
    task_id = courier.add_task_to_queue(Q, 2)
    assert courier.get_task(Q) == (task_id, 2)
    assert redis_connection.zscore(keys.leases, token) is None
    # and repair brings the rest
    assert courier.repair_queue(Q) == 1
    assert courier.get_task(Q) == (lost, 1)


def test_a_delayed_task_of_infinite_score_is_served(
    courier: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    task_id = courier.add_task_to_queue(Q, 1, delay=60)
    redis_connection.zadd(keys.delayed, {task_id.bytes: float("-inf")})
    assert courier.get_task(Q) == (task_id, 1)


def test_a_task_under_something_that_is_no_id_is_dropped_and_said(
    courier: Any, redis_connection: redis.Redis, keys: QueueKeys, caplog: Any
) -> None:
    # given two fields that no client wrote, in line with a task
    for foreign in (b"", b"short", b"x" * 17):
        redis_connection.hset(keys.tasks, foreign, b"whatever")
        redis_connection.rpush(keys.pending, foreign)
    task_id = courier.add_task_to_queue(Q, 1)
    # then a take gives the task, and drops the others
    assert courier.get_tasks(Q) == [(task_id, 1)]
    assert caplog.text.count("dropped") == 3
    courier.return_task_result(Q, task_id, 1)
    assert redis_connection.exists(keys.tasks, keys.leases, keys.dead) == 0


def test_a_batch_that_its_caller_never_saw_is_not_renewed(
    other: Any, redis_connection: redis.Redis, keys: QueueKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a batch of what cannot be performed, and cannot be ended now either
    def refuse(*_: Any, **__: Any) -> Any:
        raise exceptions.CourierError("refused")

    monkeypatch.setattr(other._worker._store, "finish", refuse)
    redis_connection.hset(keys.tasks, b"1" * 16, b"no envelope")
    redis_connection.rpush(keys.pending, b"1" * 16)
    assert other.get_tasks(Q) == []
    # when leases are renewed
    token = token_of(redis_connection, keys)
    redis_connection.zadd(keys.leases, {token: 1})
    other.renew_leases(Q, "worker")
    # then this one is not: somebody tries again when it has run out
    assert redis_connection.zscore(keys.leases, token) == 1


@pytest.mark.parametrize("stored", [b"", b"\0", b"\0\xff", b"\1\1\xc1", b"\xff\1\x80"], ids=repr)
def test_a_damaged_result_is_a_named_error(
    courier: Any, redis_connection: redis.Redis, keys: QueueKeys, stored: bytes
) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    redis_connection.hdel(keys.tasks, task_id.bytes)
    redis_connection.hset(keys.bucket(task_id.bytes), task_id.bytes, stored)
    assert courier.get_task_status(Q, task_id) in (TaskStatus.FAILED, TaskStatus.SUCCEEDED)
    with pytest.raises(exceptions.TaskHelpersError):
        courier.wait_for_task_result(Q, task_id, timeout=5)


@pytest.mark.parametrize("attempts", ["many", [], float("inf"), None], ids=repr)
def test_an_error_with_damaged_attempts_is_a_named_error(attempts: Any) -> None:
    codec = MsgpackSerializer()
    stored = bytes((1, codec.codec)) + codec.dumps({"message": "no", "attempts": attempts})
    error = Wire(CourierOptions()).result_or_error(Q, uuid.uuid4().bytes, stored)
    assert isinstance(error, exceptions.DeserializationError)
    assert "damaged" in str(error)


def test_a_failure_is_told_though_wrong_keys_stand_where_dead_letters_are(
    courier: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    # given keys of a wrong type
    for key in (keys.dead, keys.dead_tasks, keys.dead_outcomes):
        redis_connection.set(key, "not ours")
    task_id = courier.add_task_to_queue(Q, 1)
    courier.get_tasks(Q)
    # when a task is given up
    policy = RetryPolicy(max_attempts=2, give_up_on=(ValueError,))
    courier.bulk_return_task_results(Q, [(task_id, ValueError("the real reason"))], policy)
    # then its waiter is told, and it is kept
    with pytest.raises(exceptions.PerformTaskError, match="the real reason"):
        courier.wait_for_task_result(Q, task_id, timeout=5)
    assert [letter.task_id for letter in courier.get_dead_letters(Q)] == [task_id]


# --- Keys that are a comfort


def test_what_is_a_comfort_fails_no_reader(
    courier: Any, other: Any, redis_connection: redis.Redis, prefix: str, keys: QueueKeys
) -> None:
    # given a running task and a queue with a bound, and keys of a wrong type beside them
    task_id = courier.add_task_to_queue(Q, 1)
    other.get_task(Q)
    now = int(time.time() * 1000)
    for key in (keys.progress, keys.drain, keys.counts(now), keys.counts(now + MINUTE_MS)):
        redis_connection.set(key, "not ours")
    bound = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix, max_queue_seconds=5)
    # when somebody looks, and adds, then they know what is to be known
    assert courier.get_task_status(Q, task_id) == TaskStatus.RUNNING
    stats = courier.get_queue_stats(Q)
    assert (stats.running, stats.drain_rate) == (1, None)
    bound.add_task_to_queue(Q, 2)
    assert courier.get_queue_stats(Q).waiting == 1


@pytest.mark.parametrize("key", ["wake", "flights", "weights"])
@pytest.mark.parametrize("options", [{}, {"priority": 5, "weight": 2}, {"key": "one"}], ids=str)
def test_a_key_that_says_nothing_lasting_is_made_anew(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys, key: str, options: Any
) -> None:
    # given a worker that waits, in a queue with a key of a wrong type
    redis_connection.set(getattr(keys, key), "not ours")
    # when tasks come, then they are added and performed
    task_ids = [courier.add_task_to_queue(Q, n, **options) for n in range(3)]
    for task_id in dict.fromkeys(task_ids):
        assert other.wait_for_task(Q, 5)[0] == task_id
        other.return_task_result(Q, task_id, "done")
        assert courier.wait_for_task_result(Q, task_id, timeout=5) == "done"


def test_a_take_that_leaves_tasks_makes_the_mark_anew(
    courier: Any, other: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    courier.bulk_add_tasks_to_queue(Q, range(2))
    redis_connection.delete(keys.wake)
    redis_connection.set(keys.wake, "not ours")
    redis_connection.set(keys.drain, "not ours")
    assert [n for _, n in other.get_tasks(Q, 1)] == [0]
    assert redis_connection.type(keys.wake) == b"zset"
    assert redis_connection.type(keys.drain) == b"hash"
    assert [n for _, n in other.get_tasks(Q, 1)] == [1]


@pytest.mark.parametrize("key", ["crashes", "ranked", "delayed", "bucket"])
def test_a_task_is_cancelled_and_its_waiter_told_though_a_wrong_key_stands_there(
    courier: Any, redis_connection: redis.Redis, keys: QueueKeys, key: str
) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    place = keys.bucket(task_id.bytes) if key == "bucket" else getattr(keys, key)
    redis_connection.set(place, "not ours")
    assert courier.cancel_task(Q, task_id)
    with pytest.raises(exceptions.TaskCancelled):
        courier.wait_for_task_result(Q, task_id, timeout=5)


def test_callers_at_the_same_time_are_told_that_the_line_is_damaged(
    courier: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    # given a line of a wrong type
    redis_connection.set(keys.pending, "not ours")
    # when many threads call, whose tasks go along with those of others
    calls = [in_thread(courier.call, Q, number, timeout=30) for number in range(30)]
    # then each is told so at once, and nothing of their tasks stays
    errors = [call.exception(10) for call in calls]
    assert {type(error) for error in errors} == {exceptions.CourierError}
    assert redis_connection.hlen(keys.tasks) == 0


def test_nothing_is_added_to_a_damaged_line(
    courier: Any, redis_connection: redis.Redis, keys: QueueKeys
) -> None:
    redis_connection.set(keys.pending, "not ours")
    with pytest.raises(exceptions.CourierError, match="WRONGTYPE"):
        courier.bulk_add_tasks_to_queue(Q, range(3))
    assert redis_connection.hlen(keys.tasks) == 0
