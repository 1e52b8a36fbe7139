"""How soon a worker process that died is replaced."""

from __future__ import annotations

from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.supervision.supervisor import HEALTHY_LIFE, Backoff


def pauses(backoff: Backoff, count: int, *, held: bool) -> list[float]:
    return [backoff.after(0.01, held=held) for _ in range(count)]


def test_who_keeps_dying_without_work_waits_longer_and_longer() -> None:
    assert pauses(Backoff(), 9, held=False) == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10]


def test_who_dies_over_tasks_waits_half_a_second_at_most() -> None:
    # given a poisonous task: up to five deaths, until it is found among its neighbours
    backoff = Backoff()
    assert pauses(backoff, 6, held=True) == [0, 0.1, 0.2, 0.4, 0.5, 0.5]
    # when the next ones die without having taken any
    assert pauses(backoff, 2, held=False) == [1, 2]


def test_a_healthy_life_starts_anew() -> None:
    backoff = Backoff()
    pauses(backoff, 5, held=False)
    assert backoff.after(HEALTHY_LIFE, held=False) == 0
    assert backoff.after(0.01, held=False) == 0.1


def test_a_courier_says_whether_the_dead_held_tasks() -> None:
    # given a worker that has two batches, and one that has none
    courier, worker_id = MemoryClientWorkerTaskCourier(), bytes(8)
    courier.worker_id = worker_id
    courier.bulk_add_tasks_to_queue("q", range(4))
    for _ in range(2):
        assert len(courier.get_tasks("q", 2)) == 2
    # then the count of its batches tells, once
    assert courier.reclaim_tasks_of("q", b"somebody") == 0
    assert courier.reclaim_tasks_of("q", worker_id) == 2
    assert courier.reclaim_tasks_of("q", worker_id) == 0
