"""`manage.py runworker --threads`: a process with several tasks at hand, and what may befall it."""

from __future__ import annotations

import signal

import pytest

from task_helpers.exceptions import WorkerLost
from task_helpers.tasks import TaskStatus
from tests.django_app.test_worker_process import AT_ONCE, courier, start
from tests.support.waiting import Stopwatch

__all__ = ["courier", "start"]

Q = "threaded"


def test_a_signal_lets_all_threads_finish_what_they_perform(start, courier) -> None:
    # given a worker with as many slow tasks as threads, and one that waits
    slow = courier.bulk_add_tasks_to_queue(Q, ["slow"] * 3)
    worker = start("runworker", Q, "--threads", "3", app="threaded")
    assert "up to 3 tasks at the same time" in worker.wait_for_line(f"on queue {Q} starts")
    worker.wait_until_taken(3)
    waiting = courier.add_task_to_queue(Q, "quick")
    # when it is asked to end, and then they can
    worker.signal()
    worker.wait_until_told()
    worker.open_gate()
    code, printed = worker.wait()
    # then they have their results, and the one that waited still waits
    assert code == 0, printed
    assert "stopped (SIGTERM): 3 tasks" in printed
    assert courier.bulk_wait_for_task_results(Q, slow, timeout=0) == ["slow"] * 3
    assert courier.get_task_status(Q, waiting) == TaskStatus.WAITING


def test_a_second_signal_gives_back_what_is_performed(start, courier) -> None:
    # given a worker with results behind it and tasks at hand that do not end, asked to end
    quick = courier.bulk_add_tasks_to_queue(Q, ["quick"] * 10)
    slow = courier.bulk_add_tasks_to_queue(Q, ["slow"] * 2)
    worker = start("runworker", Q, app="threaded")
    assert courier.bulk_wait_for_task_results(Q, quick, timeout=20) == ["quick"] * 10
    worker.wait_until_taken(12)
    worker.signal()
    worker.wait_until_told()
    # when it is asked again
    worker.signal(signal.SIGINT)
    stopwatch = Stopwatch()
    code, printed = worker.wait()
    # then it leaves now, and they can be taken at once
    assert stopwatch.seconds < AT_ONCE
    assert code == 128 + signal.SIGINT, printed
    assert "Traceback" not in printed
    assert "which goes back to the queue): 10 tasks" in printed
    assert {task_id for task_id, _ in courier.get_tasks(Q)} == set(slow)


def test_the_drain_time_is_for_all_threads(start, courier) -> None:
    slow = courier.bulk_add_tasks_to_queue(Q, ["slow"] * 2)
    worker = start("runworker", Q, "--drain", "0.3", app="threaded")
    worker.wait_until_taken(2)
    worker.signal()
    code, printed = worker.wait()
    assert code == 0, printed
    assert {task_id for task_id, _ in courier.get_tasks(Q)} == set(slow)


def test_a_task_that_kills_its_process_takes_no_neighbour_with_it(start, courier) -> None:
    # given one that kills, among others that are performed beside it
    others = courier.bulk_add_tasks_to_queue(Q, range(20))
    [killer] = courier.bulk_add_tasks_to_queue(Q, ["crash"])
    others += courier.bulk_add_tasks_to_queue(Q, range(20))
    # when a worker performs them
    start("runworker", Q, app="threaded")
    # then it is found, and all others have their results
    with pytest.raises(WorkerLost):
        courier.wait_for_task_result(Q, killer, timeout=20)
    assert courier.bulk_wait_for_task_results(Q, others, timeout=20) == [*range(20)] * 2
    assert [letter.task_id for letter in courier.get_dead_letters(Q)] == [killer]


def test_a_burst_in_the_same_process_ends_and_closes_its_connections(start, courier) -> None:
    ids = courier.bulk_add_tasks_to_queue(Q, range(20))
    worker = start("runworker", Q, "--burst", "--threads", "2", app="threaded")
    code, printed = worker.wait()
    assert code == 0, printed
    assert "stopped (no task to take now): 20 tasks" in printed
    assert courier.bulk_wait_for_task_results(Q, ids, timeout=0) == list(range(20))


def test_threads_are_for_workers_of_single_tasks(start) -> None:
    worker = start("runworker", "gated", "--threads", "2")
    code, printed = worker.wait()
    assert code == 1
    assert printed.strip() == (
        "CommandError: --threads: factory.workers.GatedWorker has no threads: it performs a batch "
        "as a whole. Use a ClassicWorker, or --processes."
    )
