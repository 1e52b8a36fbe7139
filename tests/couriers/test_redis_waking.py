"""Who waits is woken: nobody finds work or results by looking now and then alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from task_helpers.couriers import _lookout, _taking_flows
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from tests.support.servers import RedisServer
from tests.support.waiting import Stopwatch, in_thread, wait_until

Q = "q"


@pytest.fixture
def courier(server: RedisServer) -> RedisClientWorkerTaskCourier:
    return RedisClientWorkerTaskCourier(server.client())


@pytest.fixture
def idle(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Future[Any]]:
    """A worker that is blocked in Redis, for longer than the test is patient."""
    monkeypatch.setattr(_taking_flows, "LONGEST_BLOCK", 4.0)
    admin = server.client()

    def begin(**options: Any) -> Future[Any]:
        worker = RedisClientWorkerTaskCourier(server.client())
        waiter = in_thread(worker.bulk_wait_for_tasks, Q, 10, 20, **options)
        wait_until(lambda: admin.info("clients")["blocked_clients"])
        return waiter

    return begin


@pytest.mark.parametrize("options", [{}, {"linger": 0.01}], ids=["at once", "lingering"])
@pytest.mark.parametrize("added", [{}, {"priority": 5}, {"delay": 0.1}], ids=str)
def test_an_idle_worker_is_woken_by_a_task(
    courier: Any, idle: Any, options: Any, added: Any
) -> None:
    waiter, watch = idle(**options), Stopwatch()
    task_id = courier.add_task_to_queue(Q, 1, **added)
    assert waiter.result(3) == [(task_id, 1)]
    assert watch.seconds < 1


def test_an_idle_worker_is_woken_by_a_release(courier: Any, idle: Any) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    courier.get_task(Q)
    waiter, watch = idle(), Stopwatch()
    courier.release_tasks(Q)
    assert waiter.result(3) == [(task_id, 1)]
    assert watch.seconds < 1


def test_a_worker_that_leaves_work_wakes_the_next(courier: Any, idle: Any) -> None:
    first, second = idle(), idle()
    courier.bulk_add_tasks_to_queue(Q, range(15))
    assert sorted(len(waiter.result(3)) for waiter in (first, second)) == [5, 10]


# --- Waiters


def finish(courier: Any, admin: Any, task_id: Any) -> None:
    courier.return_task_result(Q, *courier.get_task(Q))


def fail(courier: Any, admin: Any, task_id: Any) -> None:
    courier.get_task(Q)
    courier.return_task_result(Q, task_id, ValueError())


def cancel(courier: Any, admin: Any, task_id: Any) -> None:
    assert courier.cancel_task(Q, task_id)


def kill_three_workers(courier: Any, admin: Any, task_id: Any) -> None:
    while courier.get_tasks(Q):
        [token] = admin.zrange("task_helpers:{q}:l", 0, -1)
        admin.zadd("task_helpers:{q}:l", {token: 1})


@pytest.mark.parametrize("end", [finish, fail, cancel, kill_three_workers])
def test_a_waiter_is_told_of_every_end_at_once(
    server: RedisServer, courier: Any, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    # given a waiter that would look again after ten seconds
    monkeypatch.setattr(_lookout, "SWEEP_SECONDS", 10.0)
    admin, client = server.client(), RedisClientWorkerTaskCourier(server.client())
    task_id = client.add_task_to_queue(Q, 1)
    waiter = in_thread(client.bulk_wait_for_task_results, Q, [task_id], return_exceptions=True)
    wait_until(lambda: admin.pubsub_channels())
    # when the task ends
    watch = Stopwatch()
    end(courier, admin, task_id)
    # then it knows
    assert len(waiter.result(5)) == 1
    assert watch.seconds < 2
