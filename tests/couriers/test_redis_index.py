"""Hashes in which many are looked up are indexed, also where few are about; see decision 0025."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from task_helpers.couriers.redis import RedisClientWorkerTaskCourier as Courier
from tests.couriers.conftest import QUEUE as Q

MANY = 64


def encodings(connection: redis.Redis, pattern: str) -> list[bytes]:
    return [connection.object("encoding", key) for key in connection.keys(pattern)]


def fields(connection: redis.Redis, pattern: str) -> int:
    return sum(connection.hlen(key) for key in connection.keys(pattern))


@pytest.mark.parametrize("how", [{}, {"priority": 1}, {"weight": 2}], ids=str)
def test_tasks_that_come_together(
    courier: Courier, redis_connection: redis.Redis, prefix: str, how: Any
) -> None:
    # when many tasks are added at once
    courier.bulk_add_tasks_to_queue(Q, range(MANY), **how)
    # then they are indexed, and nothing else is among them
    assert encodings(redis_connection, f"{prefix}:*:m") == [b"hashtable"]
    assert fields(redis_connection, f"{prefix}:*:m") == MANY


def test_weights_of_tasks_that_come_together(
    courier: Courier, redis_connection: redis.Redis, prefix: str
) -> None:
    courier.bulk_add_tasks_to_queue(Q, range(MANY), weight=2)
    assert encodings(redis_connection, f"{prefix}:*:h") == [b"hashtable"]
    assert fields(redis_connection, f"{prefix}:*:h") == MANY


@pytest.mark.parametrize("priority", [-1, 0, 1])
def test_tasks_that_come_one_by_one(
    courier: Courier, redis_connection: redis.Redis, prefix: str, priority: int
) -> None:
    # given many tasks that were added one by one
    for number in range(MANY):
        courier.add_task_to_queue(Q, number, priority=priority)
    assert encodings(redis_connection, f"{prefix}:*:m") != [b"hashtable"]
    # when they are taken
    assert len(courier.get_tasks(Q, MANY)) == MANY
    # then they are indexed, and nothing else is among them
    assert encodings(redis_connection, f"{prefix}:*:m") == [b"hashtable"]
    assert fields(redis_connection, f"{prefix}:*:m") == MANY


def test_results_that_come_together(
    courier: Courier, redis_connection: redis.Redis, prefix: str
) -> None:
    # given a batch of many tasks
    courier.bulk_add_tasks_to_queue(Q, range(MANY))
    # when its results are returned
    courier.bulk_return_task_results(Q, courier.get_tasks(Q, MANY))
    # then they are indexed, and nothing else is among them; those of the next second may be few
    assert b"hashtable" in encodings(redis_connection, f"{prefix}:*:r:*")
    assert fields(redis_connection, f"{prefix}:*:r:*") == MANY
