"""What was taken from a worker, by a mistake or by another worker, is its own no more."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from task_helpers import exceptions
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.retries import RetryPolicy

Q = "q"


@pytest.mark.parametrize(
    "policy", [RetryPolicy(), RetryPolicy(max_attempts=2)], ids=["none", "two"]
)
def test_an_error_of_a_task_that_left_its_batch_does_not_count(
    courier: Any, other: Any, redis_connection: redis.Redis, prefix: str, policy: RetryPolicy
) -> None:
    # given a task whose batch somebody deleted, and which another worker took after the repair
    keys = QueueKeys(prefix, Q)
    task_id = courier.add_task_to_queue(Q, 1)
    courier.get_task(Q)
    [token] = redis_connection.zrange(keys.leases, 0, -1)
    redis_connection.delete(keys.batch(token))
    assert courier.repair_queue(Q) == 1
    other.get_task(Q)
    # when the first worker, whose lease is still there, fails it
    failure = ValueError("bad")
    courier.bulk_return_task_results(Q, [(task_id, failure)], policy)
    # then the second one's result is its only end
    other.return_task_result(Q, task_id, "good")
    assert courier.get_task_result(Q, task_id) == "good"
    assert courier.get_dead_letters(Q) == []


def test_a_dead_letter_stands_in_line_once_when_it_is_queued_again(
    courier: Any, redis_connection: redis.Redis, prefix: str
) -> None:
    # given a task that was queued again by a repair, while its worker gave it up
    keys = QueueKeys(prefix, Q)
    task_id = courier.add_task_to_queue(Q, 1)
    courier.get_task(Q)
    [token] = redis_connection.zrange(keys.leases, 0, -1)
    redis_connection.delete(keys.batch(token))
    courier.repair_queue(Q)
    given_up = RetryPolicy(max_attempts=2, give_up_on=(ValueError,))
    courier.bulk_return_task_results(Q, [(task_id, ValueError("bad"))], given_up)
    # when its dead letter is queued again
    courier.requeue_dead_letters(Q, [task_id])
    # then one worker gets it, once
    assert courier.get_tasks(Q) == [(task_id, 1)]
    with pytest.raises(exceptions.TaskDoesNotExist):
        courier.get_task(Q)


def test_a_batch_ends_without_the_task_that_its_worker_took_again(
    courier: Any, redis_connection: redis.Redis, prefix: str
) -> None:
    # given a worker that gets one task of a lost batch a second time
    keys = QueueKeys(prefix, Q)
    courier.bulk_add_tasks_to_queue(Q, range(2))
    tasks = courier.get_tasks(Q)
    [token] = redis_connection.zrange(keys.leases, 0, -1)
    redis_connection.delete(keys.batch(token))
    courier.repair_queue(Q)
    courier.get_task(Q)
    # when it returns both
    courier.bulk_return_task_results(Q, tasks)
    # then no lease is left to be renewed for ever
    assert redis_connection.exists(keys.leases, keys.tasks) == 0
