"""A reply that is lost is asked for again, and nothing happens twice."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from task_helpers import exceptions
from task_helpers.couriers._redis.commands import Send
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisClientWorkerTaskCourier
from task_helpers.effects import Effect
from task_helpers.tasks import TaskStatus
from tests.support.faults import LostReplies, Recorder
from tests.support.waiting import in_thread

Q = "q"


PLAIN_OR_NOT = pytest.mark.parametrize("options", [{}, {"priority": 5}], ids=["plain", "not"])


@PLAIN_OR_NOT
@pytest.mark.parametrize("times", [1, 3])
def test_add_adds_one_copy(courier: Any, other: Any, options: Any, times: int) -> None:
    fault = LostReplies(courier, "add", times)
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(10), **options)
    assert fault.lost == times
    assert other.get_tasks(Q) == list(zip(task_ids, range(10), strict=True))


@PLAIN_OR_NOT
def test_add_does_not_run_a_task_again_that_ended_before_the_repeat(
    courier: Any, other: Any, options: Any
) -> None:
    # given a worker that is faster than the repeat
    performed: list[Any] = []

    def perform() -> None:
        tasks = other.get_tasks(Q)
        performed.extend(tasks)
        other.bulk_return_task_results(Q, tasks)

    LostReplies(courier, "add", meanwhile=perform)
    # when the reply of add is lost
    task_id = courier.add_task_to_queue(Q, "once", **options)
    # then the task is known, has its result, and is not queued again
    assert courier.wait_for_task_result(Q, task_id, timeout=1) == "once"
    perform()
    assert len(performed) == 1


def test_a_bound_counts_no_task_twice(courier: Any, redis_connection: Any, prefix: str) -> None:
    bound = type(courier)(redis_connection, prefix=prefix, max_queue_length=10)
    LostReplies(bound, "add")
    bound.bulk_add_tasks_to_queue(Q, range(10))
    assert courier.get_queue_stats(Q).waiting == 10


def test_take_gives_the_same_batch(courier: Any, other: Any) -> None:
    task_ids = other.bulk_add_tasks_to_queue(Q, range(10))
    fault = LostReplies(courier, "take")
    tasks = courier.get_tasks(Q, 5)
    assert fault.lost == 1
    assert tasks == list(zip(task_ids[:5], range(5), strict=True))
    assert [n for _, n in other.get_tasks(Q)] == [5, 6, 7, 8, 9]


def test_a_blocking_take_gives_the_batch_that_it_blocked_for(courier: Any, other: Any) -> None:
    waiter = in_thread(courier.wait_for_task, Q, 10)
    LostReplies(courier, "take")
    task_id = other.add_task_to_queue(Q, "data")
    assert waiter.result(5) == (task_id, "data")
    courier.return_task_result(Q, task_id, "result")
    assert other.wait_for_task_result(Q, task_id, timeout=2) == "result"


@pytest.mark.parametrize("result", ["good", ValueError("bad")], ids=["success", "error"])
def test_finish_ends_a_task_once_and_refuses_nothing(
    courier: Any, other: Any, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = other.add_task_to_queue(Q, 1)
    courier.get_task(Q)
    fault = LostReplies(courier, "finish")
    courier.return_task_result(Q, task_id, result)
    assert fault.lost == 1
    [read] = other.bulk_wait_for_task_results(Q, [task_id], return_exceptions=True)
    assert read == "good" or read.message == "bad"
    assert "too late" not in caplog.text
    assert courier.get_queue_stats(Q)[:4] == (0, 0, 0, 0)


def test_renew_still_holds(courier: Any, other: Any) -> None:
    other.add_task_to_queue(Q, 1)
    task = courier.get_task(Q)
    fault = LostReplies(courier, "renew")
    courier.renew_leases(Q, "worker")
    assert fault.lost == 1
    courier.return_task_result(Q, *task)
    assert other.check_for_done(Q, task[0])


def test_release_gives_back_once(courier: Any, other: Any) -> None:
    task_ids = other.bulk_add_tasks_to_queue(Q, range(3))
    courier.get_tasks(Q)
    fault = LostReplies(courier, "reclaim")
    courier.release_tasks(Q)
    assert fault.lost == 1
    assert [task_id for task_id, _ in other.get_tasks(Q)] == task_ids


def test_reclaim_blames_once(
    courier: Any, other: Any, redis_connection: redis.Redis, prefix: str
) -> None:
    # given the batch of a dead worker
    task_ids = other.bulk_add_tasks_to_queue(Q, range(2))
    other.get_tasks(Q)
    leases = f"{prefix}:{{{Q}}}:l"
    redis_connection.zadd(leases, dict.fromkeys(redis_connection.zrange(leases, 0, -1), 1))
    # when the reply of who reclaims it is lost
    fault = LostReplies(courier, "reclaim")
    assert len(courier.get_tasks(Q, 32)) == 2
    # then one crash is counted
    assert fault.lost == 1
    crashes = redis_connection.hgetall(f"{prefix}:{{{Q}}}:c")
    assert crashes == {task_id.bytes: b"1" for task_id in task_ids}


def test_cancel_says_that_it_cancelled(courier: Any, other: Any) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    fault = LostReplies(courier, "cancel")
    assert courier.cancel_task(Q, task_id) is True
    assert fault.lost == 1
    assert other.get_task_status(Q, task_id) == TaskStatus.CANCELLED


def test_look_and_stats_are_asked_again(courier: Any, other: Any) -> None:
    looks, stats = LostReplies(courier, "look"), LostReplies(courier, "stats")
    task_id = other.add_task_to_queue(Q, 1)
    with pytest.raises(TimeoutError):
        courier.wait_for_task_result(Q, task_id, timeout=0.2)
    assert courier.get_queue_stats(Q).waiting == 1
    assert (looks.lost, stats.lost) == (1, 1)


def test_a_reply_that_never_comes_is_given_up_in_time(redis_connection: Any, prefix: str) -> None:
    courier = RedisClientTaskCourier(redis_connection, prefix=prefix, retry_seconds=0.1)
    LostReplies(courier, "add", times=1000)
    with pytest.raises(exceptions.CourierUnavailable, match="the reply was lost"):
        courier.add_task_to_queue(Q, 1)


def test_results_read_are_not_lost_when_they_cannot_be_deleted(courier: Any, other: Any) -> None:
    # given a result, and a Redis that is gone when it was read
    task_id = courier.add_task_to_queue(Q, 1)
    other.return_task_result(Q, *other.get_task(Q))
    perform = courier._perform

    def without_deleting(effect: Effect) -> Any:
        if isinstance(effect, Send) and effect.commands[0][0] == "HDEL":
            raise redis.ConnectionError("gone")
        return perform(effect)

    courier._perform = without_deleting
    courier._store._ask._retry_seconds = 0.05
    # when it is read
    # then it is returned
    assert courier.wait_for_task_result(Q, task_id) == 1


def test_scripts_that_redis_forgot_are_loaded_again(server: Any) -> None:
    courier, admin = RedisClientWorkerTaskCourier(server.client()), server.client()
    for _ in range(2):
        task_id = courier.add_task_to_queue(Q, 1)
        admin.script_flush()
        task = courier.wait_for_task(Q, timeout=5)
        admin.script_flush()
        courier.return_task_result(Q, *task)
        assert courier.get_task_result(Q, task_id) == 1
        admin.script_flush()


def test_a_thousand_tasks_cost_as_many_commands_as_one(courier: Any) -> None:
    courier.get_tasks(Q)  # the scripts are loaded
    courier.add_task_to_queue(Q, 1)
    courier.return_task_result(Q, *courier.get_task(Q))
    recorder = Recorder(courier)
    courier.bulk_add_tasks_to_queue(Q, range(1000))
    tasks = courier.get_tasks(Q, 1000)
    courier.bulk_return_task_results(Q, tasks)
    added, performed = ["MULTI", "RPUSH", "ZADD", "HSET", "HDEL", "EXEC"], ["EVALSHA"] * 2
    assert [command[0] for command in recorder.commands()] == added + performed


def test_large_tasks_and_results_go_in_commands_of_at_most_8_mb(
    redis_connection: redis.Redis, prefix: str
) -> None:
    # given 12 tasks of 1.5 MB
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix, max_payload=2_000_000)
    recorder = Recorder(courier)
    payloads = [bytes([n]) * 1_500_000 for n in range(12)]
    # when they go there and back
    task_ids = courier.bulk_add_tasks_to_queue(Q, payloads)
    while tasks := courier.get_tasks(Q):
        taken = sum(len(payload) for _, payload in tasks)
        assert taken < 8 * 1_500_000 + 1, "a batch is bounded too: by the first eight at the most"
        courier.bulk_return_task_results(Q, tasks)
    # then they arrive, and no command was larger
    assert courier.bulk_wait_for_task_results(Q, task_ids, timeout=5) == payloads
    sizes = [
        sum(len(a) for a in command if isinstance(a, bytes)) for command in recorder.commands()
    ]
    assert max(sizes) < 8_100_000
    courier.close()
