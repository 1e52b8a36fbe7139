"""A queue refuses what its workers could not do in time, and says when to come back."""

from __future__ import annotations

from typing import Any

import pytest

from task_helpers.exceptions import QueueFull
from tests.contract.backends import Stand


def work_off(stand: Stand, worker: Any, queue: str, batches: int) -> None:
    """Ten tasks in each tenth of a second."""
    for _ in range(batches):
        tasks = worker.get_tasks(queue, 10)
        stand.pass_time(0.1)
        worker.bulk_return_task_results(queue, tasks)


def add_until_refused(client: Any, queue: str) -> tuple[int, QueueFull]:
    for number in range(1000):
        try:
            client.add_task_to_queue(queue, number)
        except QueueFull as error:
            return number, error
    raise AssertionError("never refused")


@pytest.fixture
def backlog(stand: Stand, client: Any, worker: Any, queue: str) -> float:
    """A queue of 30 tasks, whose worker does so many a second: 100, or less where it is slow."""
    client.bulk_add_tasks_to_queue(queue, range(50))
    work_off(stand, worker, queue, 2)
    rate: float = client.get_queue_stats(queue).drain_rate
    return rate


def test_a_queue_takes_what_its_workers_can_do_in_the_seconds_given(
    stand: Stand, queue: str, backlog: float
) -> None:
    # given a client that may let tasks wait for a second: about a hundred tasks
    client = stand.client(max_queue_seconds=1)
    # when it adds one by one
    added, refusal = add_until_refused(client, queue)
    # then so many get in
    assert added == pytest.approx(backlog - 30, abs=10)
    assert "max_queue_seconds" in str(refusal)
    assert refusal.retry_after == 1


def test_a_bulk_that_is_too_much_is_refused_as_a_whole(
    stand: Stand, queue: str, backlog: float
) -> None:
    client = stand.client(max_queue_seconds=1)
    with pytest.raises(QueueFull) as caught:
        client.bulk_add_tasks_to_queue(queue, range(1000))
    assert client.get_queue_stats(queue).waiting == 30
    # and it says when there would be room: when all but what may wait has been done
    assert caught.value.retry_after == pytest.approx((1030 - backlog) / backlog, rel=0.3)


def test_an_idle_queue_refuses_nothing(stand: Stand, worker: Any, queue: str) -> None:
    # given a worker that had little to do, and took its time
    client = stand.client(max_queue_seconds=0.01)
    for number in range(3):
        client.add_task_to_queue(queue, number)
        work_off(stand, worker, queue, 1)
    # then there is room for many at once
    client.bulk_add_tasks_to_queue(queue, range(1000))


def test_a_backlog_that_is_gone_refuses_nothing(
    stand: Stand, worker: Any, queue: str, backlog: None
) -> None:
    worker.get_tasks(queue, 30)
    stand.client(max_queue_seconds=0.01).bulk_add_tasks_to_queue(queue, range(1000))


@pytest.mark.usefixtures("backlog")
def test_what_is_not_for_now_neither_counts_nor_is_refused(
    stand: Stand, client: Any, queue: str
) -> None:
    client.bulk_add_tasks_to_queue(queue, range(1000), delay=60)
    bound = stand.client(max_queue_seconds=1)
    bound.add_task_to_queue(queue, "now")
    bound.bulk_add_tasks_to_queue(queue, range(1000), delay=60)


@pytest.mark.usefixtures("backlog")
def test_of_two_bounds_the_closer_one_counts(stand: Stand, queue: str) -> None:
    client = stand.client(max_queue_seconds=1, max_queue_length=31)
    client.add_task_to_queue(queue, 1)
    with pytest.raises(QueueFull, match="max_queue_length"):
        client.add_task_to_queue(queue, 2)


def test_a_full_queue_of_unknown_pace_guesses_when_there_is_room(stand: Stand, queue: str) -> None:
    client = stand.client(max_queue_length=1)
    with pytest.raises(QueueFull) as caught:
        client.bulk_add_tasks_to_queue(queue, range(2))
    assert caught.value.retry_after == 5


@pytest.mark.parametrize("seconds", [0, -1])
def test_seconds_that_cannot_be_are_refused(stand: Stand, seconds: int) -> None:
    with pytest.raises(ValueError, match="max_queue_seconds"):
        stand.client(max_queue_seconds=seconds)
