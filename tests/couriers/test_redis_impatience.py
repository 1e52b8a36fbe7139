"""`get_queue_stats(patient=False)`: an answer soon, or an error soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.exceptions import CourierUnavailable
from tests.support.waiting import Stopwatch


@contextmanager
def port_of(*, silent: bool) -> Iterator[int]:
    """A port that refuses connections, or one whose server never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if silent:
            server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("silent", [False, True])
def test_an_unreachable_store_is_an_error_soon(silent: bool) -> None:
    # given a courier that tries for 10 seconds, and no Redis behind it
    with port_of(silent=silent) as port:
        courier = RedisClientWorkerTaskCourier(redis.Redis(port=port), retry_seconds=10)
        # when it is asked without patience, then the error names the address and comes soon
        watch = Stopwatch()
        with pytest.raises(CourierUnavailable, match=str(port)):
            courier.get_queue_stats("mail", patient=False)
        assert watch.seconds < 1.8


def test_patience_makes_no_difference_to_the_answer(
    redis_connection: redis.Redis, prefix: str
) -> None:
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix)
    courier.bulk_add_tasks_to_queue("mail", [1, 2])
    assert courier.get_queue_stats("mail", patient=False) == courier.get_queue_stats("mail")
    courier.close()


def test_a_connection_that_broke_while_idle_is_replaced(
    redis_url: str, redis_connection: redis.Redis, prefix: str
) -> None:
    # given an idle connection of ours that the server has closed
    name = f"{prefix}-idle"
    theirs = redis.Redis.from_url(redis_url, client_name=name)
    courier = RedisClientWorkerTaskCourier(theirs, prefix=prefix)
    courier.get_queue_stats("mail", patient=False)
    [idle] = [c for c in redis_connection.client_list() if c["name"] == name]
    assert redis_connection.client_kill_filter(_id=idle["id"]) == 1
    # when the courier is asked again without patience, then it has an answer
    assert courier.get_queue_stats("mail", patient=False).waiting == 0
    courier.close()
