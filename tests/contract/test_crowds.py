"""
Many at once, each doing something else: nothing gets lost, nothing is done twice, nobody is told of
the engine's own troubles, such as transactions that lock each other out.
"""

from __future__ import annotations

import random
from collections import Counter
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from task_helpers.exceptions import TaskCancelled
from task_helpers.retries import RetryPolicy
from tests.contract.backends import Stand
from tests.support.waiting import in_thread

CLIENTS, WORKERS, ROUNDS, PATIENCE = 4, 4, 5, 30
ONCE_MORE = RetryPolicy(max_attempts=1000, retry_delay=0.001)
SEED = random.SystemRandom().randrange(10**6)


class Crowd:
    """Workers that perform, give back and fail what they took, until `end`."""

    def __init__(self, stand: Stand, queue: str, seed: int) -> None:
        self._stand = stand
        self._queue = queue
        self._over = Event()
        self._working = [in_thread(self._work, random.Random(seed + n)) for n in range(WORKERS)]

    def end(self) -> Counter[int]:
        """How often each task was performed."""
        self._over.set()
        return Counter(data for working in self._working for data in working.result(PATIENCE))

    def _work(self, draw: random.Random) -> list[int]:
        worker, performed = self._stand.worker(), []
        while not self._over.is_set():
            self._stand.pass_time(0.001)
            worker.renew_leases(self._queue, "crowd")
            if not (tasks := worker.get_tasks(self._queue, draw.randint(1, 30))):
                continue
            match draw.choice(["perform", "perform", "fail", "give back"]):
                case "perform":
                    performed += self._perform(worker, tasks)
                case "fail":
                    errors = [(task_id, ValueError("once more")) for task_id, _ in tasks]
                    worker.bulk_return_task_results(self._queue, errors, ONCE_MORE)
                case "give back":
                    worker.release_tasks(self._queue)
        return performed

    def _perform(self, worker: Any, tasks: list[tuple[UUID, int]]) -> list[int]:
        worker.bulk_return_task_results(self._queue, [(i, data * 2) for i, data in tasks])
        return [data for _, data in tasks]


@pytest.mark.parametrize("seed", [SEED])
def test_every_task_of_a_crowd_has_one_end(stand: Stand, queue: str, seed: int) -> None:
    # given workers that do with their tasks whatever can be done
    crowd = Crowd(stand, queue, seed)
    # when clients add tasks in all ways, cancel some, and look at the queue
    clients = [in_thread(live, stand.client(), queue, n, seed + n) for n in range(CLIENTS)]
    try:
        ends = [client.result(PATIENCE) for client in clients]
    finally:
        performed = crowd.end()
    # then each task was performed once and answered, or cancelled
    done = [data for done, _ in ends for data in done]
    cancelled = {data for _, cancelled in ends for data in cancelled}
    assert performed == Counter(done)
    assert not cancelled & set(done)
    assert len(done) + len(cancelled) == CLIENTS * ROUNDS * 20
    # and nothing of it is left
    assert stand.leftovers(queue) == []
    assert stand.client().get_queue_stats(queue).done == len(done)


def live(client: Any, queue: str, number: int, seed: int) -> tuple[list[int], list[int]]:
    """The data of its tasks that were done, and of those that were cancelled."""
    draw = random.Random(seed)
    done: list[int] = []
    cancelled: list[int] = []
    for start in range(0, ROUNDS * 20, 20):
        data = [number * 1_000_000 + start + n for n in range(20)]
        place = draw.choice([{}, {}, {"priority": 5}, {"delay": 0.01}])
        task_ids = client.bulk_add_tasks_to_queue(queue, data, **place)
        client.get_queue_stats(queue)
        if draw.random() < 0.5:
            client.cancel_task(queue, draw.choice(task_ids))
        results = client.bulk_wait_for_task_results(
            queue, task_ids, timeout=PATIENCE, return_exceptions=True
        )
        for sent, result in zip(data, results, strict=True):
            (cancelled if isinstance(result, TaskCancelled) else done).append(sent)
            assert isinstance(result, TaskCancelled) or result == sent * 2
    return done, cancelled
