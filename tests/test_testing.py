"""The helpers for users' own tests."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest
import redis

from task_helpers.couriers.memory import (
    MemoryClientTaskCourier,
    MemoryClientWorkerTaskCourier,
    MemoryServer,
    MemoryWorkerTaskCourier,
)
from task_helpers.couriers.redis import RedisClientTaskCourier
from task_helpers.exceptions import PerformTaskError
from task_helpers.registry import task_function
from task_helpers.testing import all_enqueued, assert_enqueued, run_queue, running_worker
from task_helpers.workers.base import BaseWorker

Q = "shop"


class Upper(BaseWorker):
    queue_name = Q

    def perform_single_task(self, task: Any) -> Any:
        return task[1]["name"].upper()


@pytest.fixture
def courier() -> MemoryClientWorkerTaskCourier:
    return MemoryClientWorkerTaskCourier()


def test_run_queue_performs_what_waits_in_this_thread(courier: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, [{"name": "a"}, {"name": "b"}])
    courier.add_task_to_queue(Q, {"name": "later"}, delay=60)
    assert run_queue(courier, Upper) == 2
    assert courier.bulk_wait_for_task_results(Q, task_ids, timeout=0) == ["A", "B"]
    assert run_queue(courier, Upper) == 0
    assert courier.get_queue_stats(Q).delayed == 1


def test_run_queue_takes_a_worker_as_well(courier: Any) -> None:
    courier.add_task_to_queue(Q, {"name": "a"})
    worker = Upper(courier)
    assert run_queue(courier, worker) == 1
    assert worker.burst is False
    with pytest.raises(TypeError, match="fields with a worker class"):
        run_queue(courier, worker, queue_name="other")
    with pytest.raises(TypeError, match="together with its courier"):
        run_queue(MemoryWorkerTaskCourier(), worker)


def test_an_error_is_raised_where_the_result_is_read(courier: Any) -> None:
    task_id = courier.add_task_to_queue(Q, {})
    assert run_queue(courier, Upper) == 1
    with pytest.raises(PerformTaskError, match="KeyError"):
        courier.get_task_result(Q, task_id)


def test_assert_enqueued_looks_and_leaves(courier: Any) -> None:
    courier.bulk_add_tasks_to_queue(Q, [{"name": "a"}, {"name": "b"}, {"name": "a"}])
    courier.add_task_to_queue(Q, {"name": "first"}, priority=1)
    courier.add_task_to_queue(Q, {"name": "later"}, delay=60)
    for _ in range(2):
        assert_enqueued(courier, Q)
        assert_enqueued(courier, Q, count=5)
        assert_enqueued(courier, Q, {"name": "a"}, count=2)
        assert_enqueued(courier, Q, {"name": ANY}, count=5)
        assert_enqueued(courier, Q, {"name": "c"}, count=0)
    names = [data["name"] for _, data in all_enqueued(courier, Q)]
    assert names == ["first", "a", "b", "a", "later"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"task_data": 3}, "expected some tasks 3 in queue shop and found 0 among [1, 2]"),
        ({"count": 1}, "expected 1 task in queue shop and found 2 among [1, 2]"),
        ({"task_data": 1, "count": 0}, "expected 0 tasks 1 in queue shop and found 1"),
    ],
    ids=str,
)
def test_a_failure_says_what_was_there(courier: Any, arguments: Any, complaint: str) -> None:
    courier.bulk_add_tasks_to_queue(Q, [1, 2])
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(courier, Q, **arguments)
    assert complaint in str(caught.value)


@task_function(name="tests.shop.report")
def report(month: str) -> str:
    return month


def test_a_function_stands_for_its_name(courier: Any) -> None:
    courier.add_task_to_queue(Q, {"function": report, "args": ("2026-11",)})
    assert_enqueued(courier, Q, {"function": report, "args": ("2026-11",)}, count=1)
    assert_enqueued(courier, Q, {"function": "tests.shop.report", "args": ("2026-11",)}, count=1)


def test_taken_tasks_are_not_enqueued(courier: Any) -> None:
    courier.bulk_add_tasks_to_queue(Q, [1, 2])
    courier.get_task(Q)
    assert_enqueued(courier, Q, 1, count=0)
    assert_enqueued(courier, Q, 2, count=1)


def test_a_courier_that_is_not_in_memory_is_refused() -> None:
    with pytest.raises(TypeError, match="use a memory courier"):
        assert_enqueued(RedisClientTaskCourier(redis.Redis()), Q)


def test_a_running_worker_answers_calls_and_is_gone_afterwards(courier: Any) -> None:
    with running_worker(courier, Upper) as worker:
        assert courier.call(Q, {"name": "a"}, timeout=5) == "A"
    assert worker.tasks_performed == 1
    assert courier.get_queue_stats(Q).workers == []


def test_couriers_share_a_server_or_have_one_each() -> None:
    server = MemoryServer()
    MemoryClientTaskCourier(server).add_task_to_queue(Q, 1)
    assert MemoryWorkerTaskCourier(server).get_task(Q)[1] == 1
    MemoryClientTaskCourier().add_task_to_queue(Q, 1)
    assert MemoryWorkerTaskCourier().get_tasks(Q) == []
