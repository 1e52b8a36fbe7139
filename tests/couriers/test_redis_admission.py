"""What admission costs, and that clients which look at the same moment do not get in over it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisClientWorkerTaskCourier
from task_helpers.exceptions import QueueFull
from tests.support.faults import Recorder
from tests.support.waiting import in_thread

Q = "q"


@pytest.fixture
def slow(redis_connection: redis.Redis, prefix: str) -> None:
    """The queue has a backlog, and its workers do ten tasks a second."""
    redis_connection.hset(QueueKeys(prefix, Q).drain, mapping={"since": 1, "rate": "10"})


def client_of(redis_connection: redis.Redis, prefix: str, **options: Any) -> Any:
    return RedisClientTaskCourier(redis_connection, prefix=prefix, **options)


@pytest.mark.usefixtures("slow")
def test_the_pace_is_read_once_a_second(redis_connection: redis.Redis, prefix: str) -> None:
    client = client_of(redis_connection, prefix, max_queue_seconds=5)
    recorder = Recorder(client)
    for number in range(20):
        client.add_task_to_queue(Q, number)
    assert 1 <= sum(command[0] == "HGET" for command in recorder.commands()) <= 2


@pytest.mark.usefixtures("slow")
def test_without_a_bound_in_seconds_nobody_asks(redis_connection: redis.Redis, prefix: str) -> None:
    client = client_of(redis_connection, prefix, max_queue_length=1000)
    recorder = Recorder(client)
    client.add_task_to_queue(Q, 1)
    assert {command[0] for command in recorder.commands()} <= {"EVALSHA", "EVAL"}


@pytest.mark.usefixtures("slow")
def test_of_many_clients_that_see_room_as_many_get_in_as_there_is(
    redis_connection: redis.Redis, prefix: str
) -> None:
    # given room for fifty tasks, and ten clients that all know of it
    clients = [client_of(redis_connection, prefix, max_queue_seconds=5) for _ in range(10)]
    for client in clients:
        client.add_task_to_queue(Q, "first")

    def add_many(client: Any) -> int:
        for number in range(50):
            try:
                client.add_task_to_queue(Q, number)
            except QueueFull:
                return number
        return 50

    # when each adds until it is refused
    runs = [in_thread(add_many, client) for client in clients]
    added = sum(run.result(20) for run in runs)
    # then fifty are there
    assert (added, redis_connection.hlen(QueueKeys(prefix, Q).tasks)) == (40, 50)


@pytest.mark.parametrize("how", ["bounded", "heavy", "shared"])
def test_results_that_were_read_go_with_the_next_tasks(
    redis_connection: redis.Redis, prefix: str, how: str
) -> None:
    # given small results that were read by `call`, which leaves them for a while
    courier = RedisClientWorkerTaskCourier(
        redis_connection, prefix=prefix, max_queue_length=100 if how == "bounded" else None
    )
    for number in range(3):
        call = in_thread(courier.call, Q, number, timeout=5)
        courier.return_task_result(Q, *courier.wait_for_task(Q, timeout=5))
        assert call.result(5) == number
    # when a task is added that not the shortest way leads to
    options: dict[str, Any] = {"bounded": {}, "heavy": {"weight": 2}, "shared": {"key": "one"}}
    courier.add_task_to_queue(Q, "next", **options[how])
    # then they are gone
    assert not list(redis_connection.scan_iter(f"{prefix}:*:r:*"))
    courier.close()
