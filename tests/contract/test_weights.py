"""Batches that are bound by the weight of their tasks."""

from __future__ import annotations

from typing import Any

import pytest

from task_helpers.retries import RetryPolicy
from tests.contract.backends import Stand
from tests.support.waiting import in_thread, wait_until

AGAIN = RetryPolicy(max_attempts=2, retry_delay=9)
GIVEN_UP = RetryPolicy(max_attempts=2, give_up_on=(ValueError,))


def add(client: Any, queue: str, *weights: int, **options: Any) -> list[Any]:
    """Tasks whose data is their weight."""
    return [client.add_task_to_queue(queue, w, weight=w, **options) for w in weights]


def batches(worker: Any, queue: str, max_weight: int | None, max_count: int = 100) -> list[Any]:
    """All that waits, batch for batch, as what each task weighs."""
    found = []
    try:
        while True:
            tasks = worker.bulk_wait_for_tasks(queue, max_count, 0, max_weight=max_weight)
            found.append([data for _, data in tasks])
    except TimeoutError:
        return found


@pytest.mark.parametrize(
    ("weights", "max_weight", "expected"),
    [
        ([3, 3, 3, 3], 7, [[3, 3], [3, 3]]),
        ([3, 3, 3], 9, [[3, 3, 3]]),
        ([3, 9, 1, 1], 7, [[3], [9], [1, 1]]),
        ([9, 9], 7, [[9], [9]]),
        ([0, 0, 7, 0, 1], 7, [[0, 0, 7, 0], [1]]),
        ([9, 0], 7, [[9], [0]]),
        ([1, 1, 1], 2, [[1, 1], [1]]),
        ([5, 5, 5], None, [[5, 5, 5]]),
    ],
)
def test_a_batch_ends_before_it_is_too_heavy(
    client: Any, worker: Any, queue: str, weights: Any, max_weight: Any, expected: Any
) -> None:
    add(client, queue, *weights)
    assert batches(worker, queue, max_weight) == expected


def test_the_number_of_tasks_counts_too(client: Any, worker: Any, queue: str) -> None:
    add(client, queue, 3, 3, 3, 3)
    assert batches(worker, queue, 7, max_count=1) == [[3]] * 4


def test_a_bulk_add_gives_each_task_the_weight(client: Any, worker: Any, queue: str) -> None:
    client.bulk_add_tasks_to_queue(queue, range(1_001), weight=10)
    client.bulk_add_tasks_to_queue(queue, range(500))
    sizes = [len(batch) for batch in batches(worker, queue, 2_000, max_count=1_000)]
    assert sizes == [200] * 5 + [1 + 500]


def test_a_batch_never_goes_round_a_task_that_is_too_heavy(
    client: Any, worker: Any, queue: str
) -> None:
    """Order is order: light tasks of a lower priority do not overtake a heavy one."""
    add(client, queue, 1, 2)
    add(client, queue, 4, 6, priority=5)
    add(client, queue, 3, priority=-5)
    assert batches(worker, queue, 7) == [[4], [6, 1], [2, 3]]


def test_a_call_has_a_weight_and_a_priority(client: Any, worker: Any, queue: str) -> None:
    # given a task, and a call that goes before it and leaves no room
    add(client, queue, 3)
    call = in_thread(client.call, queue, "called", timeout=10, weight=5, priority=1)
    wait_until(lambda: client.get_queue_stats(queue).waiting == 2)
    # when a batch is taken
    tasks = worker.bulk_wait_for_tasks(queue, 10, max_weight=7)
    worker.bulk_return_task_results(queue, tasks)
    # then it is the call alone
    assert call.result(5) == "called"
    assert batches(worker, queue, 7) == [[3]]


@pytest.mark.parametrize("weight", [-1, 1_000_000_001, 1.5, "2", None])
def test_a_weight_that_makes_no_sense(client: Any, queue: str, weight: Any) -> None:
    text = "weight must be a whole number from 0 to 1000000000, not "
    with pytest.raises(ValueError, match=text):
        client.add_task_to_queue(queue, 1, weight=weight)
    with pytest.raises(ValueError, match=text):
        client.call(queue, 1, timeout=1, weight=weight)
    assert client.get_queue_stats(queue).waiting == 0


@pytest.mark.parametrize("max_weight", [0, -1, 1.5, "2"])
def test_a_max_weight_that_makes_no_sense(worker: Any, queue: str, max_weight: Any) -> None:
    with pytest.raises(ValueError, match="max_weight must be a whole number above 0, not "):
        worker.bulk_wait_for_tasks(queue, 3, 0, max_weight=max_weight)


# --- A weight stays with its task


def test_after_a_delay(client: Any, worker: Any, queue: str, stand: Stand) -> None:
    add(client, queue, 5, 5, delay=60)
    stand.pass_delays(queue)
    assert batches(worker, queue, 7) == [[5], [5]]


def test_when_a_batch_is_released(client: Any, worker: Any, queue: str) -> None:
    add(client, queue, 5, 5)
    worker.get_tasks(queue)
    worker.release_tasks(queue)
    assert batches(worker, queue, 7) == [[5], [5]]


def test_when_a_worker_died(client: Any, worker: Any, queue: str, stand: Stand) -> None:
    add(client, queue, *[5] * 32)
    lost = stand.worker()
    lost.get_tasks(queue, 32)
    worker.reclaim_tasks_of(queue, lost.worker_id)
    assert batches(worker, queue, 7, max_count=32) == [[5]] * 32


def test_when_it_is_performed_again(client: Any, worker: Any, queue: str, stand: Stand) -> None:
    add(client, queue, 5, 5)
    failed = [(task_id, ValueError()) for task_id, _ in worker.get_tasks(queue)]
    worker.bulk_return_task_results(queue, failed, AGAIN)
    stand.pass_delays(queue)
    assert batches(worker, queue, 7) == [[5], [5]]


def test_when_its_dead_letter_is_queued_again(client: Any, worker: Any, queue: str) -> None:
    task_ids = add(client, queue, 5, 5)
    failed = [(task_id, ValueError()) for task_id, _ in worker.get_tasks(queue)]
    worker.bulk_return_task_results(queue, failed, GIVEN_UP)
    client.requeue_dead_letters(queue, task_ids)
    assert batches(worker, queue, 7) == [[5], [5]]


# --- And goes with it


def test_nothing_is_left_of_the_weights(stand: Stand, queue: str) -> None:
    # given tasks with weights that came to each of their ends
    courier = stand.both(max_dead_letters=1)
    task_ids = add(courier, queue, *range(2, 10))
    courier.cancel_task(queue, task_ids[0])
    tasks = courier.get_tasks(queue)
    courier.bulk_return_task_results(queue, tasks[:2])
    courier.acknowledge_tasks(queue, [tasks[2][0]])
    courier.return_task_result(queue, tasks[3][0], ValueError())
    failed = [(task_id, ValueError()) for task_id, _ in tasks[4:]]
    courier.bulk_return_task_results(queue, failed, GIVEN_UP)
    # when the one dead letter that had room is deleted
    dead = [letter.task_id for letter in courier.get_dead_letters(queue)]
    assert courier.delete_dead_letters(queue, dead) == 1
    # then nothing is left
    assert stand.leftovers(queue) == []
