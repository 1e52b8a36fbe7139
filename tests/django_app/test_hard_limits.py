"""Functions that nobody can interrupt: the process ends, and another one goes on."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from task_helpers import exit_codes
from task_helpers.exceptions import TimeLimitExceeded
from tests.django_app.test_worker_process import courier, start

__all__ = ["courier", "start"]

Q = "limited"


def call(name: str) -> Any:
    return {"function": f"threaded.tasks.{name}"}


@pytest.mark.parametrize("name", ["hang", "ignore", "block"])
@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_task_fails_and_a_fresh_process_performs_the_others(
    start, courier, name: str, threads: str
) -> None:
    # given a function that does not end, taken together with others
    calls = [call("pid"), call(name), *[call("pid")] * 4]
    task_ids = courier.bulk_add_tasks_to_queue(Q, calls)
    # when a worker with a supervisor performs them
    worker = start("runworker", Q, "--threads", threads, app="threaded")
    results = courier.bulk_wait_for_task_results(Q, task_ids, timeout=30, return_exceptions=True)
    # then whoever waits for that one is told, and all others have their results
    failed = results.pop(1)
    assert isinstance(failed, TimeLimitExceeded)
    assert f"threaded.tasks.{name} ran longer than its time_limit of 0." in failed.message
    assert all(isinstance(pid, int) for pid in results)
    # and the worker goes on in a fresh process, without a word of a crash
    later = courier.call(Q, call("pid"), timeout=20)
    assert later != results[0]
    worker.signal()
    code, printed = worker.wait()
    assert code == 0, printed
    assert f"threaded.tasks.{name} ran longer than" in printed
    assert "most recent call first" in printed
    assert "ended with exit code" not in printed
    assert courier.get_queue_stats(Q).dead == 0


def test_no_neighbour_becomes_a_suspect(start, courier) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, [call("hang"), call("hang"), call("pid")])
    start("runworker", Q, "--threads", "3", app="threaded")
    results = courier.bulk_wait_for_task_results(Q, task_ids, timeout=30, return_exceptions=True)
    assert [type(result) for result in results] == [TimeLimitExceeded, TimeLimitExceeded, int]


def test_without_a_supervisor_the_exit_code_asks_for_another_run(start, courier) -> None:
    hang, pid = courier.bulk_add_tasks_to_queue(Q, [call("hang"), call("pid")])
    worker = start("runworker", Q, "--burst", app="threaded")
    code, printed = worker.wait()
    assert code == exit_codes.RECYCLE, printed
    with pytest.raises(TimeLimitExceeded):
        courier.get_task_result(Q, hang)
    assert [task_id for task_id, _ in courier.get_tasks(Q)] == [pid]


def test_it_is_tried_again_as_after_any_error(start, courier) -> None:
    task_id = courier.add_task_to_queue("persistent", call("hang"))
    start("runworker", "persistent", app="threaded")
    with pytest.raises(TimeLimitExceeded) as raised:
        courier.wait_for_task_result("persistent", task_id, timeout=30)
    assert raised.value.attempts == 2
    assert [letter.task_id for letter in courier.get_dead_letters("persistent")] == [task_id]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_coroutine_is_left_in_the_middle_when_a_signal_insists(
    start, courier, threads: str
) -> None:
    task_id = courier.add_task_to_queue(Q, call("sleep"))
    worker = start("runworker", Q, "--burst", "--threads", threads, app="threaded")
    worker.wait_until_taken(1)
    worker.signal()
    worker.signal(signal.SIGINT)  # the process may see them in either order
    code, printed = worker.wait()
    assert code in (128 + signal.SIGINT, 128 + signal.SIGTERM), printed
    assert "Traceback" not in printed
    assert [taken for taken, _ in courier.get_tasks(Q)] == [task_id]
