"""Several workers in one process: each holds, renews and gives back its own batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.tasks import TaskStatus
from task_helpers.workers._held import Held
from task_helpers.workers._leases import LeaseKeeper
from task_helpers.workers.base import BaseWorker
from tests.support.waiting import in_thread, wait_until

Q = "shared"


@pytest.fixture
def courier(redis_connection: redis.Redis, prefix: str) -> Iterator[Any]:
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix, lease=1)
    yield courier
    courier.close()


class Gated(BaseWorker):
    queue_name = Q

    def __init__(self, courier: Any, **fields: Any) -> None:
        super().__init__(courier, **fields)
        self.began, self.gate = threading.Event(), threading.Event()

    def perform_tasks(self, tasks: Any) -> Any:
        self.began.set()
        self.gate.wait(10)
        return tasks


def test_a_worker_that_ends_leaves_the_batch_of_another_alone(courier: Any) -> None:
    # given a worker in the middle of a batch
    busy, done = Gated(courier), Gated(courier)
    task_id = courier.add_task_to_queue(Q, 1)
    running = in_thread(busy.perform, 1)
    assert busy.began.wait(10)
    # when another worker of the same courier ends
    done.stop()
    done.perform()
    # then the batch still runs, once
    assert courier.get_task_status(Q, task_id) == TaskStatus.RUNNING
    busy.gate.set()
    running.result(10)
    assert courier.get_task_result(Q, task_id) == 1


def test_what_nobody_performs_is_not_renewed(courier: Any) -> None:
    # given a task that was taken beside the worker and forgotten
    worker = Gated(courier)
    task_id = courier.add_task_to_queue(Q, "forgotten")
    courier.get_tasks(Q)
    # when the worker runs on
    worker.gate.set()
    running = in_thread(worker.perform)
    # then its lease runs out, and the worker performs it
    assert courier.wait_for_task_result(Q, task_id, timeout=10) == "forgotten"
    worker.stop()
    running.result(10)


def test_the_lease_thread_survives_any_error(courier: Any, monkeypatch: Any) -> None:
    # given a renewal that fails as none should
    keeper = LeaseKeeper(courier, Q, "name", Held())
    failures = iter([RuntimeError("from a credential provider")])
    renew = courier.renew_leases
    renewed = threading.Event()

    def failing_once(*arguments: Any) -> None:
        for failure in failures:
            raise failure
        renew(*arguments)
        renewed.set()

    monkeypatch.setattr(courier, "renew_leases", failing_once)
    # when it goes on, then the next one is made
    keeper.start()
    assert renewed.wait(10)
    keeper.stop()
    wait_until(lambda: not keeper._thread.is_alive())
