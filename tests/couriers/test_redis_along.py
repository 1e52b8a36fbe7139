"""Results that go along with the next take: a worker goes on while they are written."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import redis

from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from task_helpers.tasks import Task
from task_helpers.workers.base import BaseWorker
from tests.support.waiting import wait_until

Q = "queue"


class Doubling(BaseWorker):
    """Three at a time; notes what it performed."""

    queue_name = Q
    max_tasks_per_iteration = 3

    def setup(self) -> None:
        self.performed = list[int]()

    def perform_tasks(self, tasks: list[Task]) -> Any:
        self.performed += [number for _, number in tasks]
        return [(task_id, 2 * number) for task_id, number in tasks]


@pytest.fixture
def client(redis_url: str, prefix: str) -> Iterator[RedisClientTaskCourier]:
    courier = RedisClientTaskCourier(redis.Redis.from_url(redis_url), prefix=prefix)
    yield courier
    courier.close()


@pytest.fixture
def courier(redis_url: str, prefix: str) -> Iterator[RedisWorkerTaskCourier]:
    connection = redis.Redis.from_url(redis_url, client_name=prefix)
    courier = RedisWorkerTaskCourier(connection, prefix=prefix)
    yield courier
    courier.close()


def results(client: RedisClientTaskCourier, task_ids: list[UUID]) -> list[Any]:
    return client.bulk_wait_for_task_results(Q, task_ids, timeout=0)


def kill_connections(connection: redis.Redis, name: str) -> None:
    for each in connection.client_list():
        if each["name"] == name:
            connection.client_kill_filter(_id=each["id"])


@pytest.mark.parametrize("iterations", [1, 2, 3, None])
def test_when_a_worker_ends_all_that_it_performed_is_there(
    client: RedisClientTaskCourier, courier: RedisWorkerTaskCourier, iterations: int | None
) -> None:
    # given a backlog of two full batches and one that is not
    task_ids = client.bulk_add_tasks_to_queue(Q, range(8))
    worker = Doubling(courier, burst=True)
    worker.perform(iterations)
    done = len(worker.performed)
    assert worker.performed == list(range(min(8, 3 * (iterations or 3))))
    assert results(client, task_ids[:done]) == [2 * number for number in range(done)]
    assert client.get_queue_stats(Q).running == 0
    assert client.get_queue_stats(Q).done == done


def test_a_batch_is_answered_before_the_next_one_is_performed(
    client: RedisClientTaskCourier, courier: RedisWorkerTaskCourier, redis_connection: redis.Redis
) -> None:
    """However long that takes, also where Redis has not seen the script before."""
    redis_connection.script_flush()
    task_ids = client.bulk_add_tasks_to_queue(Q, range(6))
    answered = list[Any]()

    class Asking(Doubling):
        def perform_tasks(self, tasks: list[Task]) -> Any:
            if self.performed:
                answered.extend(client.bulk_wait_for_task_results(Q, task_ids[:3], timeout=2))
            return super().perform_tasks(tasks)

    Asking(courier, burst=True).perform()
    assert answered == [0, 2, 4]


def test_without_results_the_tasks_are_acknowledged(
    client: RedisClientTaskCourier, courier: RedisWorkerTaskCourier
) -> None:
    client.bulk_add_tasks_to_queue(Q, range(9))
    Doubling(courier, burst=True, needs_result_returning=False).perform()
    stats = client.get_queue_stats(Q)
    assert (stats.waiting, stats.running, stats.done) == (0, 0, 9)


def test_nothing_is_lost_or_performed_twice_when_connections_break(
    client: RedisClientTaskCourier,
    courier: RedisWorkerTaskCourier,
    redis_connection: redis.Redis,
    prefix: str,
) -> None:
    # given a worker whose connections are cut while it performs each batch
    task_ids = client.bulk_add_tasks_to_queue(Q, range(30))

    class Cut(Doubling):
        def perform_tasks(self, tasks: list[Task]) -> Any:
            kill_connections(redis_connection, prefix)
            return super().perform_tasks(tasks)

    worker = Cut(courier, burst=True)
    worker.perform()
    assert worker.performed == list(range(30))
    assert results(client, task_ids) == [2 * number for number in range(30)]


def test_scripts_that_the_server_forgot_lose_nothing(
    client: RedisClientTaskCourier, courier: RedisWorkerTaskCourier, redis_connection: redis.Redis
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(Q, range(12))

    class Flushing(Doubling):
        def perform_tasks(self, tasks: list[Task]) -> Any:
            redis_connection.script_flush()
            return super().perform_tasks(tasks)

    worker = Flushing(courier, burst=True)
    worker.perform()
    assert worker.performed == list(range(12))
    assert results(client, task_ids) == [2 * number for number in range(12)]


def test_a_lease_is_kept_until_the_results_are_written(
    client: RedisClientTaskCourier,
    courier: RedisWorkerTaskCourier,
    redis_connection: redis.Redis,
    prefix: str,
) -> None:
    # given results that are to go along with the next take, and a lease that has nearly run out
    task_ids = client.bulk_add_tasks_to_queue(Q, range(3))
    tasks = courier.get_tasks(Q, 3)
    key = f"{prefix}:{{{Q}}}:l"
    [(token, until)] = redis_connection.zrange(key, 0, -1, withscores=True)
    redis_connection.zadd(key, {token: until - 29_000})
    courier.bulk_return_task_results(Q, tasks, soon=True)
    assert client.get_queue_stats(Q).running == 3
    # when the thread that renews leases comes by, though the batch is not performed any more
    courier.renew_leases(Q, "worker", [])
    # then it has them written
    assert results(client, task_ids) == [0, 1, 2]


def test_what_is_released_is_written_first(
    client: RedisClientTaskCourier, courier: RedisWorkerTaskCourier
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(Q, range(3))
    courier.bulk_return_task_results(Q, courier.get_tasks(Q, 3), soon=True)
    courier.release_tasks(Q)
    assert results(client, task_ids) == [0, 1, 2]
    assert client.get_queue_stats(Q).waiting == 0


def test_an_empty_queue_holds_no_result_up(
    client: RedisClientTaskCourier, courier: RedisWorkerTaskCourier
) -> None:
    # given a worker with one full batch and nothing behind it
    task_ids = client.bulk_add_tasks_to_queue(Q, range(3))
    courier.bulk_return_task_results(Q, courier.get_tasks(Q, 3), soon=True)
    # when it waits for the next one
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        courier.bulk_wait_for_tasks(Q, 3, 0.3)
    # then the callers did not
    assert results(client, task_ids) == [0, 1, 2]
    assert time.monotonic() - begun >= 0.3


def test_a_worker_that_waits_in_its_own_way_returns_at_once(
    client: RedisClientTaskCourier, courier: RedisWorkerTaskCourier
) -> None:
    """It may do anything before it takes the next batch."""
    task_ids = client.bulk_add_tasks_to_queue(Q, range(6))
    seen = list[Any]()

    class Waiting(Doubling):
        def wait_for_tasks(self) -> list[Task]:
            if self.performed:
                wait_until(lambda: client.check_for_done(Q, task_ids[0]))
                seen.extend(results(client, task_ids[:3]))
            return super().wait_for_tasks()

    Waiting(courier).perform(2)
    assert seen == [0, 2, 4]


def test_a_worker_that_returns_in_its_own_way_does_so_at_once(
    client: RedisClientTaskCourier, courier: RedisWorkerTaskCourier
) -> None:
    """It may tell somebody that the results are there, or use what they are made of again."""
    task_ids = client.bulk_add_tasks_to_queue(Q, range(6))
    done = list[bool]()

    class Telling(Doubling):
        def return_task_results(self, tasks: list[Task]) -> None:
            super().return_task_results(tasks)
            done.extend(client.check_for_done(Q, task_id) for task_id, _ in tasks)

    Telling(courier, burst=True).perform()
    assert done == [True] * len(task_ids)


def test_a_batch_is_closed_though_its_lease_ran_out_while_it_was_owed(
    client: RedisClientTaskCourier,
    courier: RedisWorkerTaskCourier,
    redis_connection: redis.Redis,
    prefix: str,
) -> None:
    """As after a long outage, when the claims that nobody renewed are dropped."""
    task_ids = client.bulk_add_tasks_to_queue(Q, range(3))
    courier.bulk_return_task_results(Q, courier.get_tasks(Q, 3), soon=True)
    courier._worker._claims.drop_overdue(math.inf)
    courier.renew_leases(Q, "worker", [])
    assert results(client, task_ids) == [0, 1, 2]
    assert not redis_connection.exists(f"{prefix}:{{{Q}}}:l")
