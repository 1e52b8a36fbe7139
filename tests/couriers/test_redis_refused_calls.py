"""Many threads whose adds go together, and what each of them learns when they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from task_helpers import exceptions
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from tests.support.servers import RedisServer
from tests.support.waiting import in_thread, wait_until

Q = "q"
THREADS = 50


def call_in_threads(courier: Any, timeout: float) -> list[Any]:
    return [in_thread(courier.call, Q, n, timeout=timeout) for n in range(THREADS)]


def test_each_caller_learns_that_redis_is_full(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        # given a courier in use, and a Redis without room
        courier = RedisClientTaskCourier(server.client())
        courier.add_task_to_queue(Q, "before")
        server.client().config_set("maxmemory", 1)
        # when many call at the same time
        errors = [call.exception(20) for call in call_in_threads(courier, 10)]
        # then each is told so, and nothing was added
        assert {type(error) for error in errors} == {exceptions.StoreFull}
        server.client().config_set("maxmemory", 0)
        assert courier.get_queue_stats(Q).waiting == 1
        courier.close()


@pytest.mark.parametrize("max_queue_length", [1, 20])
def test_each_caller_learns_that_the_queue_is_full(
    redis_connection: Any, prefix: str, max_queue_length: int
) -> None:
    courier = RedisClientTaskCourier(
        redis_connection, prefix=prefix, max_queue_length=max_queue_length
    )
    calls = call_in_threads(courier, 2)
    kinds = [type(call.exception(20)) for call in calls]
    assert kinds.count(exceptions.QueueFull) == THREADS - max_queue_length
    courier.close()


def test_scripts_that_redis_forgot_are_loaded_for_all(redis_connection: Any, prefix: str) -> None:
    courier = RedisClientTaskCourier(redis_connection, prefix=prefix)
    worker = RedisWorkerTaskCourier(redis_connection, prefix=prefix)
    courier.add_task_to_queue(Q, "before")
    redis_connection.script_flush()
    calls = call_in_threads(courier, 20)
    wait_until(lambda: worker.get_queue_stats(Q).waiting == THREADS + 1)
    worker.bulk_return_task_results(Q, worker.get_tasks(Q, 100))
    assert [call.result(20) for call in calls] == list(range(THREADS))
    courier.close()
    worker.close()
