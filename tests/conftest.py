"""What every test may ask for: a Redis, and keys of its own in it; servers of other databases."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
import redis

from tests.support.database_servers import MARIADB, POSTGRES, DatabaseServer, database_server
from tests.support.requirements import missing


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis that other tests use too. Absent, its tests are skipped at home and fail in CI."""
    url = os.environ.get("REDIS_URL", "")
    if not url:
        missing("set REDIS_URL=redis://HOST:PORT/0 (make test starts a server of its own)")
    return url


@pytest.fixture
def redis_connection(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def prefix(redis_connection: redis.Redis) -> Iterator[str]:
    """What this test's keys begin with; they are deleted afterwards, and no others."""
    prefix = f"test-{uuid.uuid4().hex}"
    yield prefix
    for key in redis_connection.scan_iter(match=f"{prefix}:*", count=1000):
        redis_connection.delete(key)


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseServer]:
    with database_server(POSTGRES) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    with database_server(MARIADB) as server:
        yield server
