"""Failed tasks that are performed again, those that are given up, and dead letters."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from task_helpers.exceptions import PerformTaskError, TaskResultDoesNotExist
from task_helpers.retries import RetryPolicy
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Stand
from tests.support.waiting import in_thread

TWICE = RetryPolicy(max_attempts=2, retry_delay=60)


def fail(
    worker: Any, queue: str, policy: RetryPolicy = TWICE, error: Exception | None = None
) -> int:
    """All that can be taken fails; returns how many tasks that were."""
    tasks = worker.get_tasks(queue)
    error = error or ValueError("no")
    worker.bulk_return_task_results(queue, [(task_id, error) for task_id, _ in tasks], policy)
    return len(tasks)


def test_only_what_failed_comes_back_and_its_waiter_waits_on(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given two tasks of one batch, one of which fails
    good_id, bad_id = client.bulk_add_tasks_to_queue(queue, ["good", "bad"])
    waiter = in_thread(client.wait_for_task_result, queue, bad_id, timeout=20)
    worker.get_tasks(queue)
    results = [(good_id, 1), (bad_id, ValueError("no"))]
    worker.bulk_return_task_results(queue, results, TWICE)
    # then the other has its result, and this one waits for its time
    assert client.get_task_result(queue, good_id) == 1
    assert client.get_task_status(queue, bad_id) == TaskStatus.DELAYED
    assert worker.get_tasks(queue) == []
    # when that has come
    stand.pass_delays(queue)
    assert worker.get_tasks(queue) == [(bad_id, "bad")]
    worker.return_task_result(queue, bad_id, 2)
    # then who waited all along has its result
    assert waiter.result(20) == 2
    assert stand.leftovers(queue) == []


def test_the_last_attempt_fails_for_the_waiter_and_leaves_a_dead_letter(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a task that failed once
    task_id = client.add_task_to_queue(queue, {"row": 1})
    fail(worker, queue)
    stand.pass_delays(queue)
    # when it fails again
    fail(worker, queue)
    # then its waiter is told, with the number of attempts
    with pytest.raises(PerformTaskError, match="ValueError: no") as caught:
        client.wait_for_task_result(queue, task_id, timeout=1)
    assert caught.value.attempts == 2
    # and it is kept, with what was wrong
    [letter] = client.get_dead_letters(queue)
    assert (letter.task_id, letter.task_data) == (task_id, {"row": 1})
    assert isinstance(letter.error, PerformTaskError)
    assert letter.error.exception_type == "ValueError"
    assert isinstance(letter.buried_at, datetime)
    assert letter.buried_at.tzinfo is UTC


def test_a_priority_outlives_a_retry(stand: Stand, client: Any, worker: Any, queue: str) -> None:
    # given a task of low priority that failed, and later ones
    low_id = client.add_task_to_queue(queue, "low", priority=-5)
    fail(worker, queue)
    stand.pass_delays(queue)
    plain_id = client.add_task_to_queue(queue, "plain")
    high_id = client.add_task_to_queue(queue, "high", priority=5)
    # then it is behind them all
    assert [task_id for task_id, _ in worker.get_tasks(queue)] == [high_id, plain_id, low_id]


def test_nobody_retries_past_the_deadline(client: Any, worker: Any, queue: str) -> None:
    # given a task whose next attempt would come after its deadline
    task_id = client.add_task_to_queue(queue, 1, expires=5)
    # when it fails
    fail(worker, queue)
    # then that is its end, now
    with pytest.raises(PerformTaskError, match="ValueError"):
        client.get_task_result(queue, task_id)


@pytest.mark.parametrize(
    "policy",
    [
        RetryPolicy(max_attempts=5, retry_on=(OSError,)),
        RetryPolicy(max_attempts=5, give_up_on=(LookupError,)),
        RetryPolicy(max_attempts=5, give_up_on=[OSError, LookupError]),  # type: ignore[arg-type]
        RetryPolicy(),
    ],
)
def test_some_errors_are_not_tried_again(
    client: Any, worker: Any, queue: str, policy: RetryPolicy
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    fail(worker, queue, policy, KeyError("k"))
    assert client.get_task_status(queue, task_id) == TaskStatus.FAILED


class Unsure(RetryPolicy):
    """One of a project's own, with a bug."""

    def delay_after(self, error: Exception, attempts: int) -> float | None:
        raise ZeroDivisionError("no idea")


def test_a_policy_that_fails_loses_no_batch(
    client: Any, worker: Any, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given a batch with two tasks that fail
    task_ids = client.bulk_add_tasks_to_queue(queue, range(3))
    worker.get_tasks(queue)
    good_id, *bad_ids = task_ids
    results = [(good_id, 1), *((bad_id, ValueError("no")) for bad_id in bad_ids)]
    # when the policy does not know what becomes of them
    worker.bulk_return_task_results(queue, results, Unsure(max_attempts=2))
    # then they fail for good, with their own errors, and the other has its result
    assert client.get_task_result(queue, good_id) == 1
    for bad_id in bad_ids:
        with pytest.raises(PerformTaskError, match="ValueError: no"):
            client.get_task_result(queue, bad_id)
    # and the log says so once
    [message] = [line for line in caplog.messages if "retry policy" in line]
    assert message == (
        f"The retry policy of queue {queue} failed, which ends 2 tasks that failed: "
        "ZeroDivisionError: no idea"
    )


def test_a_worker_that_lost_its_batch_cannot_retry_it(
    stand: Stand, client: Any, queue: str
) -> None:
    # given a task that a second worker took over
    task_id = client.add_task_to_queue(queue, 1)
    late, other = stand.worker(), stand.worker()
    late.get_tasks(queue)
    stand.pass_leases(queue)
    assert [taken for taken, _ in other.get_tasks(queue)] == [task_id]
    # when the first one's failure comes
    late.bulk_return_task_results(queue, [(task_id, ValueError("late"))], TWICE)
    # then it changes nothing
    assert client.get_task_status(queue, task_id) != TaskStatus.DELAYED
    with pytest.raises(TaskResultDoesNotExist):
        client.get_task_result(queue, task_id)


def test_a_dead_letter_gets_another_chance(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a dead letter, and one to be left alone
    task_id, other_id = client.bulk_add_tasks_to_queue(queue, ["bad", "worse"])
    fail(worker, queue)
    stand.pass_delays(queue)
    fail(worker, queue)
    # when it is requeued
    assert client.requeue_dead_letters(queue, [task_id]) == 1
    # then it waits, and its old error is gone
    assert client.get_task_status(queue, task_id) == TaskStatus.WAITING
    assert [letter.task_id for letter in client.get_dead_letters(queue)] == [other_id]
    # and it has all of its attempts again
    assert fail(worker, queue) == 1
    assert client.get_task_status(queue, task_id) == TaskStatus.DELAYED
    stand.pass_delays(queue)
    worker.get_tasks(queue)
    worker.return_task_result(queue, task_id, "mended")
    assert client.get_task_result(queue, task_id) == "mended"


def test_a_dead_letter_that_is_queued_again_has_no_deadline_any_more(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a dead letter whose deadline has passed
    task_id = client.add_task_to_queue(queue, "late", expires=0.5)
    worker.get_tasks(queue)
    policy = RetryPolicy(max_attempts=2, give_up_on=(ValueError,))
    worker.bulk_return_task_results(queue, [(task_id, ValueError("no"))], policy)
    stand.pass_time(0.6)
    # when it is queued again
    assert client.requeue_dead_letters(queue, [task_id]) == 1
    # then it can be performed
    assert worker.get_tasks(queue) == [(task_id, "late")]


def test_dead_letters_can_be_deleted(stand: Stand, client: Any, worker: Any, queue: str) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, range(3))
    fail(worker, queue)
    stand.pass_delays(queue)
    fail(worker, queue)
    assert client.delete_dead_letters(queue, task_ids[:2]) == 2
    assert client.delete_dead_letters(queue, task_ids[:2]) == 0
    assert [letter.task_id for letter in client.get_dead_letters(queue)] == task_ids[2:]
    assert client.requeue_dead_letters(queue, task_ids[:2]) == 0


def test_the_newest_dead_letters_come_first_up_to_a_count(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_ids = []
    for number in range(3):
        task_ids.append(client.add_task_to_queue(queue, number))
        fail(worker, queue)
        stand.pass_delays(queue)
        fail(worker, queue)
        stand.pass_time(0.005)
    letters = client.get_dead_letters(queue, max_count=2)
    assert [letter.task_id for letter in letters] == [task_ids[2], task_ids[1]]


def test_the_tasks_of_a_worker_seen_to_die_go_to_another_at_once(
    stand: Stand, client: Any, queue: str
) -> None:
    # given two workers that hold a batch each
    client.bulk_add_tasks_to_queue(queue, range(20))
    dead, alive, third = stand.worker(), stand.worker(), stand.worker()
    lost = dead.get_tasks(queue, 10)
    kept = alive.get_tasks(queue, 10)
    # when one is known to be dead
    third.reclaim_tasks_of(queue, dead.worker_id)
    # then its tasks are to be had, a few at a time as suspects are, and the other's are not
    taken = [task for _ in range(20) for task in third.get_tasks(queue)]
    assert sorted(taken) == sorted(lost)
    alive.bulk_return_task_results(queue, kept)
    assert client.get_queue_stats(queue).running == 10


def test_a_healthy_queue_needs_no_repair(client: Any, worker: Any, queue: str) -> None:
    client.bulk_add_tasks_to_queue(queue, range(5))
    client.add_task_to_queue(queue, 1, priority=3)
    client.add_task_to_queue(queue, 1, delay=60)
    worker.get_tasks(queue, 2)
    assert client.repair_queue(queue) == 0


def test_errors_survive_pickling() -> None:
    error = PerformTaskError("no", exception_type="ValueError", attempts=3)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.attempts) == (str(error), 3)
