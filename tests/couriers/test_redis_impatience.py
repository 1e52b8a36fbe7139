"""`patient=False`, and blocking couriers in event loops: an answer soon, or an error soon."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

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


@contextmanager
def idle_and_broken(redis_url: str, redis_connection: redis.Redis, prefix: str) -> Iterator[Any]:
    """A courier whose only connection the server has closed."""
    name = f"{prefix}-idle"
    theirs = redis.Redis.from_url(redis_url, client_name=name)
    courier = RedisClientWorkerTaskCourier(theirs, prefix=prefix)
    courier.get_queue_stats("mail", patient=False)
    [idle] = [c for c in redis_connection.client_list() if c["name"] == name]
    assert redis_connection.client_kill_filter(_id=idle["id"]) == 1
    yield courier
    courier.close()


def test_a_connection_that_broke_while_idle_is_replaced(
    redis_url: str, redis_connection: redis.Redis, prefix: str
) -> None:
    with idle_and_broken(redis_url, redis_connection, prefix) as courier:
        assert courier.get_queue_stats("mail", patient=False).waiting == 0


def test_it_is_replaced_in_an_event_loop_too(
    redis_url: str, redis_connection: redis.Redis, prefix: str
) -> None:
    async def view() -> UUID:
        task_id: UUID = courier.add_task_to_queue("mail", 1)
        return task_id

    with idle_and_broken(redis_url, redis_connection, prefix) as courier:
        asyncio.run(view())
        assert courier.get_queue_stats("mail").waiting == 1


def test_a_store_that_is_away_does_not_hold_up_an_event_loop() -> None:
    # given a courier that would ask again for ten seconds
    with port_of(silent=False) as port:
        courier = RedisClientWorkerTaskCourier(redis.Redis(port=port), retry_seconds=10)

        async def view() -> None:
            courier.add_task_to_queue("mail", 1)

        # when a coroutine uses it, then the error comes soon and says what to use there
        watch = Stopwatch()
        with pytest.raises(CourierUnavailable, match=f"{port}.*event loop.*awaitable"):
            asyncio.run(view())
        assert watch.seconds < 0.5
