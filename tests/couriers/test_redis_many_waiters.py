"""A thousand who wait in one process: few connections, all answered, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc
from typing import Any

import pytest
import redis

from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from tests.support.waiting import in_thread, wait_until

Q = "q"
WAITERS = 1_000


def test_a_thousand_threads_wait_over_two_connections(
    redis_url: str, redis_connection: redis.Redis, prefix: str
) -> None:
    # given a thousand threads that call
    named = redis.Redis.from_url(redis_url, client_name=prefix)
    client = RedisClientTaskCourier(named, prefix=prefix)
    worker = RedisWorkerTaskCourier(redis_connection, prefix=prefix)
    calls = {n: in_thread(client.call, Q, n, timeout=60) for n in range(WAITERS)}
    wait_until(lambda: worker.get_queue_stats(Q).waiting == WAITERS, 30)
    connections = sum(c["name"] == prefix for c in redis_connection.client_list())
    # when all tasks end
    worker.bulk_return_task_results(Q, [(i, -n) for i, n in worker.get_tasks(Q, WAITERS)])
    # then each has its own answer
    assert [call.result(30) for call in calls.values()] == [-n for n in range(WAITERS)]
    assert connections == 2
    client.close()
    worker.close()


def test_a_thousand_timeouts_that_fall_together_are_timeouts(
    redis_connection: redis.Redis, prefix: str
) -> None:
    client = RedisClientTaskCourier(redis_connection, prefix=prefix)
    calls = [in_thread(client.call, Q, n, timeout=1) for n in range(WAITERS)]
    errors = [call.exception(60) for call in calls]
    assert {isinstance(error, TimeoutError) for error in errors} == {True}
    client.close()


def test_nothing_grows_with_the_number_of_waits(redis_connection: redis.Redis, prefix: str) -> None:
    # given a client and a worker that have warmed up
    client = RedisClientTaskCourier(redis_connection, prefix=prefix)
    worker = RedisWorkerTaskCourier(redis_connection, prefix=prefix)

    def wait_for_many() -> None:
        task_ids = client.bulk_add_tasks_to_queue(Q, range(1_000))
        worker.bulk_return_task_results(Q, worker.get_tasks(Q, 1_000))
        client.bulk_wait_for_task_results(Q, task_ids, timeout=10)

    for _ in range(3):
        wait_for_many()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    # when many more wait
    for _ in range(20):
        wait_for_many()
    # then nobody is remembered
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 1_000_000, f"{grown} bytes of 20,000 waits stay behind"  # caches are bounded
    assert not client._store.lookout
    client.close()
    worker.close()


GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent, redis, sys
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier

url, prefix = sys.argv[1:]
client = RedisClientTaskCourier(redis.Redis.from_url(url), prefix=prefix)
worker = RedisWorkerTaskCourier(redis.Redis.from_url(url), prefix=prefix)
calls = [gevent.spawn(client.call, "q", n, timeout=20) for n in range(200)]
left = 200
while left:
    tasks = worker.bulk_wait_for_tasks("q", 50, timeout=10)
    worker.bulk_return_task_results("q", [(i, -n) for i, n in tasks])
    left -= len(tasks)
assert [call.get(timeout=20) for call in calls] == [-n for n in range(200)]
print("answered")
"""


def test_greenlets_wait_as_threads_do(redis_url: str, prefix: str) -> None:
    command = [sys.executable, "-c", GEVENT, redis_url, prefix]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "answered\n", ran.stderr


@pytest.fixture(autouse=True)
def room_for_threads() -> Any:
    """Small stacks: a thousand of the usual size are 8 GB of address space."""
    usual = threading.stack_size(256 * 1024)
    yield
    threading.stack_size(usual)
