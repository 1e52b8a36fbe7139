"""Crashes of a worker that performs several batches at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from task_helpers.exceptions import WorkerLost
from tests.contract.backends import Stand
from tests.support.waiting import in_thread


def take_one(worker: Any, queue: str) -> Any:
    [(task_id, _)] = worker.bulk_wait_for_tasks(queue, 1, timeout=0, beside=True)
    return task_id


def test_one_of_two_batches_is_not_blamed_as_if_it_had_been_alone(
    client: Any, stand: Stand, queue: str
) -> None:
    # given two tasks, of which one kills its worker, which performs them at the same time
    innocent, guilty = client.bulk_add_tasks_to_queue(queue, ["innocent", "guilty"])
    answer = in_thread(client.wait_for_task_result, queue, guilty, timeout=10)
    worker = stand.worker()
    assert [take_one(worker, queue), take_one(worker, queue)] == [innocent, guilty]
    assert not worker.are_suspects(queue, [innocent, guilty])
    # when it dies, and so does each worker that has the guilty one
    deaths = 0
    while worker:
        stand.both().reclaim_tasks_of(queue, worker.worker_id)
        deaths += 1
        worker = next_worker(stand, queue, innocent)
    # then the other one was performed, and this one was alone three times before it was given up
    assert client.get_task_result(queue, innocent) == "performed"
    assert deaths == 4
    with pytest.raises(WorkerLost):
        answer.result(10)


def next_worker(stand: Stand, queue: str, innocent: Any) -> Any:
    """One that holds the guilty task and nothing else, having performed the other; or None."""
    worker = stand.worker()
    while True:
        try:
            [(task_id, _)] = worker.bulk_wait_for_tasks(queue, 8, timeout=0, beside=True)
        except TimeoutError:
            return None
        assert worker.are_suspects(queue, [task_id])
        if task_id != innocent:
            return worker
        worker.return_task_result(queue, task_id, "performed")


def test_a_lease_that_runs_out_blames_company_alike(
    client: Any, stand: Stand, worker: Any, queue: str
) -> None:
    # given a task that ran beside others until its lease ran out
    task_id = client.add_task_to_queue(queue, 1)
    take_one(worker, queue)
    stand.pass_leases(queue)
    # when it is alone in two more crashes
    for _ in range(2):
        taker = stand.worker()
        assert take_one(taker, queue) == task_id
        assert taker.are_suspects(queue, [task_id])
        stand.pass_leases(queue)
    # then it is not given up: it was alone twice, not three times
    assert take_one(worker, queue) == task_id
