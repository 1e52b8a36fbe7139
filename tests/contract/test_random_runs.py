"""
A random life of a queue, the same on every backend: each tells the same story, step by step, and in
the end every task has had exactly one end.

The seed is in the name of the test; RANDOM_RUNS=100 tries as many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from task_helpers import exceptions
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Backend, MemoryStand, Stand

QUEUE, STEPS, LONG = "random", 200, 10**6
FIRST_SEED = int(os.environ.get("RANDOM_SEED") or random.SystemRandom().randrange(10**6))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("RANDOM_RUNS", "2")))


class Life:
    """Two workers, one client. Whatever happens is drawn from the seed and told in `story`."""

    def __init__(self, stand: Stand, seed: int) -> None:
        self._stand = stand
        self._draw = random.Random(seed)
        self._client = stand.client(result_ttl=LONG)
        self._workers = [self._worker(), self._worker()]
        self._held: list[list[tuple[UUID, int]]] = [[], []]
        self._zombies: list[tuple[Any, list[tuple[UUID, int]]]] = []
        self._ids: list[UUID] = []
        self._read: dict[int, Any] = {}
        self.story: list[Any] = []

    def _worker(self) -> Any:
        return self._stand.worker(result_ttl=LONG)

    def live(self) -> None:
        acts = [self.add, self.take, self.take, self.give, self.give, self.give_some]
        acts += [self.release, self.crash, self.return_late, self.cancel, self.read, self.stop]
        for _ in range(STEPS):
            act = self._draw.choice(acts)
            self.story.append((act.__name__, act()))
        self.story.append(("end", self.end()))

    def add(self) -> Any:
        count, priority = self._draw.randint(1, 30), self._draw.choice([0, 0, 0, 5, -5])
        numbers = range(len(self._ids), len(self._ids) + count)
        self._ids += self._client.bulk_add_tasks_to_queue(QUEUE, numbers, priority=priority)
        return numbers

    def take(self) -> Any:
        which = self._draw.randrange(2)
        return None if self._held[which] else self._take(which)

    def _take(self, which: int) -> list[int]:
        self._held[which] = self._workers[which].get_tasks(QUEUE, self._draw.randint(1, 40))
        return [number for _, number in self._held[which]]

    def give(self) -> None:
        which = self._draw.randrange(2)
        self._give(self._workers[which], self._held[which])
        self._held[which] = []

    def give_some(self) -> None:
        which = self._draw.randrange(2)
        held = self._held[which]
        self._draw.shuffle(held)
        at = self._draw.randint(0, len(held))
        self._give(self._workers[which], held[:at])
        self._held[which] = held[at:]

    def _give(self, worker: Any, tasks: list[tuple[UUID, int]]) -> None:
        who = self._draw.random()
        worker.bulk_return_task_results(
            QUEUE, [(i, ValueError(n) if self._draw.random() < 0.2 else (n, who)) for i, n in tasks]
        )

    def release(self) -> None:
        which = self._draw.randrange(2)
        self._workers[which].release_tasks(QUEUE)
        self._held[which] = []

    def crash(self) -> Any:
        """One worker dies with at most one batch: equal leases run out in any order."""
        which = self._draw.randrange(2)
        self._workers[1 - which].release_tasks(QUEUE)
        self._held[1 - which] = []
        self._stand.pass_leases(QUEUE)
        self._zombies.append((self._workers[which], self._held[which]))
        self._workers[which], self._held[which] = self._worker(), []
        return self._take(which)

    def return_late(self) -> None:
        if self._zombies:
            self._give(*self._zombies.pop(self._draw.randrange(len(self._zombies))))

    def cancel(self) -> Any:
        return self._client.cancel_task(QUEUE, self._some_id())

    def read(self) -> Any:
        task_id = self._some_id()
        status = self._client.get_task_status(QUEUE, task_id)
        try:
            return status, self._client.get_task_result(QUEUE, task_id, delete_data=False)
        except exceptions.TaskHelpersError as error:
            return status, type(error), getattr(error, "message", None)

    def stop(self) -> Any:
        stats = self._client.get_queue_stats(QUEUE)
        return stats.delayed, stats.dead

    def _some_id(self) -> UUID:
        return self._draw.choice(self._ids) if self._ids else uuid4()

    def end(self) -> Any:
        """What is left is performed; then every task has an outcome."""
        for worker in self._workers:
            worker.release_tasks(QUEUE)
        self._stand.pass_leases(QUEUE)
        worker = self._worker()
        while tasks := worker.get_tasks(QUEUE, 500):
            worker.bulk_return_task_results(QUEUE, [(i, (n, "end")) for i, n in tasks])
        outcomes = self._client.bulk_wait_for_task_results(
            QUEUE, self._ids, delete_data=False, timeout=0, return_exceptions=True
        )
        for number, outcome in enumerate(outcomes):
            assert isinstance(outcome, exceptions.PerformTaskError) or outcome[0] == number
        statuses = {self._client.get_task_status(QUEUE, task_id) for task_id in self._ids}
        assert statuses <= {TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED}
        stats = self._client.get_queue_stats(QUEUE)
        assert (stats.waiting, stats.delayed, stats.running) == (0, 0, 0)
        dead = [f"dead {n}" for n, o in enumerate(outcomes) if isinstance(o, exceptions.WorkerLost)]
        assert len(dead) == stats.dead
        return [str(outcome).partition(" (task")[0] for outcome in outcomes]


@pytest.fixture
def reference() -> Iterator[Stand]:
    stand = MemoryStand()
    yield stand
    stand.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_backend_tells_the_same_story(
    backend: Backend, stand: Stand, reference: Stand, seed: int
) -> None:
    expected, told = Life(reference, seed), Life(stand, seed)
    expected.live()
    told.live()
    for step, (here, there) in enumerate(zip(expected.story, told.story, strict=True)):
        assert here == there, f"seed {seed}, step {step} of {backend.name}"
