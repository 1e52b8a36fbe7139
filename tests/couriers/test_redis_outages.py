"""Redis full, and Redis killed in the middle."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from task_helpers import exceptions
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisClientWorkerTaskCourier
from task_helpers.workers.base import BaseWorker
from tests.support.servers import RedisServer, free_port
from tests.support.waiting import in_thread, wait_until

Q = "q"


class Doubler(BaseWorker):
    queue_name = Q
    max_tasks_per_iteration = 20

    def perform_single_task(self, task: Any) -> Any:
        return task[1] * 2


def test_a_full_redis_refuses_tasks_by_name_and_is_drained(tmp_path: Path) -> None:
    # given a Redis that tasks have filled
    with RedisServer(tmp_path, maxmemory="6mb", maxmemory_policy="noeviction") as server:
        courier = RedisClientWorkerTaskCourier(server.client())
        added: list[UUID] = []

        def fill() -> None:
            while True:
                added.extend(courier.bulk_add_tasks_to_queue(Q, ["x" * 1000] * 100))

        with pytest.raises(exceptions.StoreFull) as caught:
            fill()
        assert f"Redis at 127.0.0.1:{server.port} is full" in str(caught.value)
        assert "maxmemory" in str(caught.value)
        assert len(added) >= 100
        # then nothing of the last bulk was added
        assert courier.get_queue_stats(Q).waiting == len(added)
        # when workers perform what there is
        performed = 0
        while tasks := courier.get_tasks(Q, 50):
            courier.bulk_return_task_results(Q, [(i, len(data)) for i, data in tasks])
            performed += len(tasks)
        # then every result is there, and there is room again
        assert performed == len(added)
        assert courier.bulk_wait_for_task_results(Q, added) == [1000] * len(added)
        courier.bulk_add_tasks_to_queue(Q, ["x" * 1000] * 100)


def test_waiters_get_their_answers_though_redis_was_killed(tmp_path: Path) -> None:
    # given waiters, tasks on disk and a worker in the middle of a batch
    with RedisServer(tmp_path, appendonly="yes", appendfsync="always") as server:
        client = RedisClientTaskCourier(server.client())
        began, go_on = threading.Event(), threading.Event()

        class Held(Doubler):
            def perform_tasks(self, tasks: list[Any]) -> Any:
                began.set()
                go_on.wait(10)
                return super().perform_tasks(tasks)

        waiters = {n: in_thread(client.call, Q, n, timeout=30) for n in range(50)}
        wait_until(lambda: client.get_queue_stats(Q).waiting == 50)
        worker = Held(RedisClientWorkerTaskCourier(server.client()))
        run = in_thread(worker.perform)
        assert began.wait(10)
        # when Redis crashes and comes back
        server.kill()
        go_on.set()
        server.start()
        # then everybody is answered
        assert [waiter.result(20) for waiter in waiters.values()] == [2 * n for n in range(50)]
        worker.stop()
        run.result(10)


def test_an_outage_within_retry_seconds_is_not_noticed(tmp_path: Path) -> None:
    with RedisServer(tmp_path, appendonly="yes", appendfsync="always") as server:
        courier = RedisClientWorkerTaskCourier(server.client())
        first = courier.add_task_to_queue(Q, 1)
        server.kill()
        second = in_thread(courier.add_task_to_queue, Q, 2)
        third = in_thread(courier.wait_for_task_result, Q, first)
        server.start()
        second_id = second.result(10)
        tasks = courier.get_tasks(Q)
        assert tasks == [(first, 1), (second_id, 2)]
        courier.bulk_return_task_results(Q, tasks)
        assert third.result(10) == 1


def test_a_redis_that_lost_its_data_hangs_nobody(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        courier = RedisClientWorkerTaskCourier(server.client())
        waiter = in_thread(courier.wait_for_task_result, Q, courier.add_task_to_queue(Q, 1))
        server.kill()
        server.start()
        with pytest.raises(exceptions.TaskLost):
            waiter.result(10)


def test_a_call_is_added_again_to_a_redis_that_lost_its_data(tmp_path: Path) -> None:
    # given a caller whose task is in a Redis without a disk
    with RedisServer(tmp_path) as server:
        courier = RedisClientWorkerTaskCourier(server.client())
        caller = in_thread(courier.call, Q, 21, timeout=30)
        wait_until(lambda: courier.get_queue_stats(Q).waiting == 1)
        # when that one crashes, twice
        for _ in range(2):
            server.kill()
            server.start()
            # then the task comes back
            wait_until(lambda: courier.get_queue_stats(Q).waiting == 1)
        # and is answered
        worker = Doubler(RedisClientWorkerTaskCourier(server.client()), burst=True)
        worker.perform()
        assert caller.result(10) == 42
        assert courier.get_queue_stats(Q)[:4] == (0, 0, 0, 0)


def test_a_call_whose_task_was_deleted_from_a_redis_that_stayed_is_lost_by_name(
    tmp_path: Path,
) -> None:
    with RedisServer(tmp_path) as server:
        courier = RedisClientWorkerTaskCourier(server.client())
        caller = in_thread(courier.call, Q, 1, timeout=30)
        wait_until(lambda: courier.get_queue_stats(Q).waiting == 1)
        server.client().flushall()
        with pytest.raises(exceptions.TaskLost):
            caller.result(10)


def test_results_wait_for_a_redis_that_is_away_for_longer_than_the_lease(tmp_path: Path) -> None:
    # given a worker in the middle of a batch, with a lease that is short
    with RedisServer(tmp_path, appendonly="yes", appendfsync="always") as server:
        client = RedisClientTaskCourier(server.client())
        began, go_on, performed = threading.Event(), threading.Event(), list[Any]()

        class Held(Doubler):
            def perform_tasks(self, tasks: list[Any]) -> Any:
                performed.extend(tasks)
                began.set()
                go_on.wait(10)
                return super().perform_tasks(tasks)

        task_ids = client.bulk_add_tasks_to_queue(Q, range(10))
        courier = RedisClientWorkerTaskCourier(server.client(), lease=0.2, retry_seconds=0.05)
        worker = Held(courier)
        run = in_thread(worker.perform)
        assert began.wait(10)
        # when Redis is away until the worker has asked it for several leases
        server.kill()
        go_on.set()
        asked = threading.Event()
        transport, times = courier._perform, list[float]()

        def counting(effect: Any) -> Any:
            times.append(time.monotonic())
            if times[-1] - times[0] > 1:
                asked.set()
            return transport(effect)

        courier._perform = counting
        assert asked.wait(10)
        server.start()
        # then the results count, and no task was performed twice
        assert client.bulk_wait_for_task_results(Q, task_ids, timeout=20) == [
            2 * n for n in range(10)
        ]
        assert len(performed) == 10
        worker.stop()
        run.result(10)


@pytest.mark.parametrize("linger", [0, 0.001])
def test_whoever_waits_for_a_task_outlasts_that_the_master_is_a_replica_for_a_while(
    tmp_path: Path, linger: float
) -> None:
    # given a worker that Redis holds blocked
    with RedisServer(tmp_path) as server, server.client() as admin:
        courier = RedisClientWorkerTaskCourier(server.client())
        waiter = in_thread(courier.bulk_wait_for_tasks, Q, 1, 20, linger)
        wait_until(lambda: admin.info("clients")["blocked_clients"] == 1)
        # when it is told to be a replica, which unblocks the worker with an error
        admin.execute_command("REPLICAOF", "127.0.0.1", free_port())
        wait_until(lambda: admin.info("clients")["blocked_clients"] == 0)
        admin.execute_command("REPLICAOF", "NO", "ONE")
        # then the worker gets the next task
        task_id = RedisClientTaskCourier(server.client()).add_task_to_queue(Q, 1)
        assert waiter.result(20) == [(task_id, 1)]
