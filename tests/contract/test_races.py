"""Who ends a task when several do at the same moment: one, and its outcome is the result."""

from __future__ import annotations

import random
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest

from tests.contract.backends import Stand
from tests.support.waiting import in_thread

RACERS, TASKS, PATIENCE = 4, 20, 30
SEED = random.SystemRandom().randrange(10**6)


@pytest.mark.parametrize("seed", [SEED])
def test_of_many_who_return_the_same_tasks_one_is_right(
    stand: Stand, client: Any, queue: str, seed: int
) -> None:
    # given workers that all have the same tasks in their hands: leases ran out, one after the other
    task_ids = client.bulk_add_tasks_to_queue(queue, range(TASKS))
    workers = [stand.worker() for _ in range(RACERS)]
    for worker in workers:
        while worker.get_tasks(queue, TASKS):
            pass
        stand.pass_leases(queue)
    # when all of them return all of them at once, each in an order of its own
    start = Barrier(RACERS)
    racing = [
        in_thread(race, start, worker, queue, task_ids, seed + number)
        for number, worker in enumerate(workers)
    ]
    for racer in racing:
        racer.result(PATIENCE)
    # then each task has one result, and was counted once
    results = client.bulk_wait_for_task_results(queue, task_ids, timeout=PATIENCE)
    assert set(results) <= {seed + number for number in range(RACERS)}
    assert client.get_queue_stats(queue).done == TASKS
    assert stand.leftovers(queue) == []


def race(start: Barrier, worker: Any, queue: str, task_ids: list[UUID], name: int) -> None:
    shuffled = random.Random(name).sample(task_ids, len(task_ids))
    start.wait(PATIENCE)
    worker.bulk_return_task_results(queue, [(task_id, name) for task_id in shuffled])


def test_a_task_is_taken_by_one_of_many(stand: Stand, client: Any, queue: str) -> None:
    # given workers that reach for the same queue at once
    task_ids = client.bulk_add_tasks_to_queue(queue, range(TASKS))
    start = Barrier(RACERS)
    racing = [in_thread(take_all, start, stand.worker(), queue) for _ in range(RACERS)]
    # then together they have each task once
    taken = [task_id for racer in racing for task_id in racer.result(PATIENCE)]
    assert sorted(taken) == sorted(task_ids)


def take_all(start: Barrier, worker: Any, queue: str) -> list[UUID]:
    taken = list[UUID]()
    start.wait(PATIENCE)
    while tasks := worker.get_tasks(queue, 3):
        taken += [task_id for task_id, _ in tasks]
    return taken
