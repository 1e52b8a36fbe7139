"""What ended, and how fast: the numbers that admission and the admin's page go by."""

from __future__ import annotations

from typing import Any

from task_helpers.retries import RetryPolicy
from tests.contract.backends import Stand

GIVEN_UP = RetryPolicy(max_attempts=2, give_up_on=(ArithmeticError,))


def ended(courier: Any, queue: str) -> tuple[int, int, int, int]:
    stats = courier.get_queue_stats(queue)
    return stats.done, stats.failed, stats.expired, stats.cancelled


def test_each_end_is_counted_once(stand: Stand, client: Any, worker: Any, queue: str) -> None:
    # given a task of each end
    done, failed, dead, silent, cancelled = client.bulk_add_tasks_to_queue(queue, range(5))
    client.add_task_to_queue(queue, "late", expires=0.001)
    assert ended(client, queue) == (0, 0, 0, 0)
    # when each has ended
    client.cancel_task(queue, cancelled)
    stand.pass_time(0.01)
    assert len(worker.get_tasks(queue)) == 4
    worker.bulk_return_task_results(queue, [(done, 1), (failed, ValueError())])
    worker.bulk_return_task_results(queue, [(dead, ZeroDivisionError())], GIVEN_UP)
    worker.acknowledge_tasks(queue, [silent])
    # then each is counted once, however often its end is told
    worker.return_task_result(queue, done, 2)
    client.cancel_task(queue, cancelled)
    assert ended(client, queue) == (2, 2, 1, 1)


def test_a_task_that_is_put_off_has_not_ended(client: Any, worker: Any, queue: str) -> None:
    client.add_task_to_queue(queue, 1)
    [(task_id, _)] = worker.get_tasks(queue)
    policy = RetryPolicy(max_attempts=2, retry_delay=60)
    worker.bulk_return_task_results(queue, [(task_id, ValueError())], policy)
    assert ended(client, queue) == (0, 0, 0, 0)


def work(stand: Stand, worker: Any, queue: str, count: int) -> None:
    """Takes so many tasks and ends them a tenth of a second later."""
    tasks = worker.get_tasks(queue, count)
    stand.pass_time(0.1)
    worker.bulk_return_task_results(queue, tasks)


def test_an_idle_queue_has_no_drain_rate(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given tasks that come one by one
    for number in range(3):
        client.add_task_to_queue(queue, number)
        work(stand, worker, queue, 10)
        # then how many were done says nothing of how many could be
        assert client.get_queue_stats(queue).drain_rate is None


def test_a_backlog_has_the_rate_at_which_it_is_worked_off(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given more tasks than a worker takes at once, who has not ended one of them
    client.bulk_add_tasks_to_queue(queue, range(31))
    work(stand, worker, queue, 10)
    assert client.get_queue_stats(queue).drain_rate is None
    # when it ends ten in each tenth of a second
    work(stand, worker, queue, 10)
    work(stand, worker, queue, 10)
    # then this is the rate, less what it costs to take and to end them
    assert 25 < client.get_queue_stats(queue).drain_rate < 105
    # until nothing is left behind
    work(stand, worker, queue, 10)
    assert client.get_queue_stats(queue).drain_rate is None


def test_what_nobody_performed_makes_no_rate(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    client.bulk_add_tasks_to_queue(queue, range(21), expires=0.001)
    client.add_task_to_queue(queue, "lasting")
    stand.pass_time(0.01)
    worker.get_tasks(queue, 10)
    worker.get_tasks(queue, 10)
    stats = client.get_queue_stats(queue)
    assert (stats.expired > 0, stats.drain_rate) == (True, None)
