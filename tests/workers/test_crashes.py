"""Workers that hold a batch for long, and workers that are killed over one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from task_helpers.couriers.redis import RedisClientWorkerTaskCourier, RedisWorkerTaskCourier
from task_helpers.workers.base import BaseWorker
from tests.support.programs import running
from tests.support.servers import RedisServer
from tests.support.waiting import Stopwatch, in_thread, wait_until

Q = "ledger"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def test_a_long_batch_stays_its_workers(server: RedisServer) -> None:
    # given a worker whose batch takes longer than its lease
    courier = RedisClientWorkerTaskCourier(server.client())
    began, go_on = threading.Event(), threading.Event()

    class Long(BaseWorker):
        queue_name = Q

        def perform_tasks(self, tasks: Any) -> Any:
            began.set()
            assert go_on.wait(10)
            return tasks

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(10))
    run = in_thread(Long(RedisWorkerTaskCourier(server.client(), lease=0.3)).perform, 1)
    assert began.wait(5)
    # when another one waits for work for three leases
    with pytest.raises(TimeoutError):
        courier.bulk_wait_for_tasks(Q, 10, timeout=0.9)
    # then it gets none, and the first one's results count
    go_on.set()
    run.result(5)
    assert courier.bulk_wait_for_task_results(Q, task_ids, timeout=0) == list(range(10))


def test_the_batch_of_a_killed_worker_is_finished_by_another(
    server: RedisServer, tmp_path: Path
) -> None:
    # given 100 waiters and a worker process that has their tasks in hand
    courier = RedisClientWorkerTaskCourier(server.client())
    ledger = tmp_path / "ledger"
    arguments = [str(server.port), Q, str(ledger), "1"]
    waiters = {n: in_thread(courier.call, Q, n, timeout=60) for n in range(100)}
    wait_until(lambda: courier.get_queue_stats(Q).waiting == 100)
    with running("ledger_worker.py", *arguments, "yes") as first:
        wait_until(lambda: ledger.exists() and len(ledger.read_text().splitlines()) == 100)
        # when it is killed, and another one works
        first.kill()
        first.wait()
    watch = Stopwatch()
    with running("ledger_worker.py", *arguments, "no"):
        # then every waiter has its answer after the lease
        results = {n: waiter.result(20) for n, waiter in waiters.items()}
    assert results == {n: n * 2 for n in range(100)}
    assert watch.seconds < 5
    # and each task was performed once by each of the two
    executions = [line.split() for line in ledger.read_text().splitlines()]
    assert Counter(Counter(task_id for task_id, _ in executions).values()) == {2: 100}
    assert {pid for _, pid in executions[:100]} == {str(first.pid)}
    assert courier.get_queue_stats(Q)[:4] == (0, 0, 0, 0)
