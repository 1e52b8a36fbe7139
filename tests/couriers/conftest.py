from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from tests.support.servers import RedisServer

QUEUE = "q"


@pytest.fixture
def courier(redis_connection: redis.Redis, prefix: str) -> Iterator[RedisClientWorkerTaskCourier]:
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix)
    yield courier
    courier.close()


@pytest.fixture
def other(redis_connection: redis.Redis, prefix: str) -> Iterator[RedisClientWorkerTaskCourier]:
    """Another process, so to say."""
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix)
    yield courier
    courier.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server
