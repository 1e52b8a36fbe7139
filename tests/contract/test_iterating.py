"""Results in the order in which they come."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from task_helpers import exceptions
from tests.support.waiting import in_thread


def end(worker: Any, queue: str, *results: Any) -> None:
    """The next tasks end with these results."""
    for result in results:
        task_id, _ = worker.get_task(queue)
        worker.return_task_result(queue, task_id, result)


def test_results_come_as_the_tasks_end(client: Any, worker: Any, queue: str) -> None:
    # given three tasks, of which the last one added is the first to be done
    first, second = client.bulk_add_tasks_to_queue(queue, [1, 2])
    urgent = client.add_task_to_queue(queue, 3, priority=1)
    results = client.iter_task_results(queue, [first, second, urgent], timeout=10)
    got = []
    # when they end one by one
    for result in ("a", "b", "c"):
        end(worker, queue, result)
        got.append(next(results))
    # then each is there before the next one ends
    assert got == [(urgent, "a"), (first, "b"), (second, "c")]
    assert list(results) == []


def test_a_failed_task_does_not_end_the_iteration(client: Any, worker: Any, queue: str) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, [1, 2])
    end(worker, queue, ValueError("bad"), "good")
    results = dict(client.iter_task_results(queue, task_ids, timeout=5))
    assert results[task_ids[1]] == "good"
    assert isinstance(results[task_ids[0]], exceptions.PerformTaskError)
    assert results[task_ids[0]].exception_type == "ValueError"


def test_a_task_that_nobody_knows_is_lost(client: Any, queue: str) -> None:
    [(_, error)] = client.iter_task_results(queue, [uuid4()], timeout=5)
    assert isinstance(error, exceptions.TaskLost)


def test_the_time_is_that_of_the_whole(client: Any, worker: Any, queue: str) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, [1, 2])
    end(worker, queue, "done")
    results = client.iter_task_results(queue, task_ids, timeout=0.2)
    assert next(results) == (task_ids[0], "done")
    with pytest.raises(TimeoutError):
        next(results)


def test_without_time_all_that_is_there_is_read(client: Any, worker: Any, queue: str) -> None:
    # given many tasks, of which all but one of the first have ended
    task_ids = client.bulk_add_tasks_to_queue(queue, range(2_100))
    while tasks := worker.get_tasks(queue, 1000):
        worker.bulk_return_task_results(queue, [task for task in tasks if task[1] != 5])
    # when they are read without time to wait
    found = list[Any]()
    results = client.iter_task_results(queue, task_ids, timeout=0)
    with pytest.raises(TimeoutError):
        found.extend(results)
    # then only that one is missing
    assert set(task_ids) - {task_id for task_id, _ in found} == {task_ids[5]}


def test_who_stops_early_loses_no_result(client: Any, worker: Any, queue: str) -> None:
    # given two results that are there
    task_ids = client.bulk_add_tasks_to_queue(queue, [1, 2])
    end(worker, queue, "a", "b")
    # when the reader goes after the first one
    results = client.iter_task_results(queue, task_ids, timeout=5)
    read, _ = next(results)
    results.close()
    # then the other one can still be read
    [other] = {*task_ids} - {read}
    assert client.get_task_result(queue, other) in ("a", "b")


@pytest.mark.parametrize("delete_data", [True, False])
def test_what_was_read_is_deleted_unless_it_is_to_stay(
    client: Any, worker: Any, queue: str, delete_data: bool
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    end(worker, queue, "result")
    assert list(client.iter_task_results(queue, [task_id], delete_data)) == [(task_id, "result")]
    assert client.check_for_done(queue, task_id) is not delete_data


def test_a_waiting_reader_is_woken(client: Any, worker: Any, queue: str) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, range(3))
    reader = in_thread(lambda: list(client.iter_task_results(queue, task_ids, timeout=10)))
    end(worker, queue, "a", "b", "c")
    assert sorted(reader.result(10)) == sorted(zip(task_ids, "abc", strict=True))


def test_no_ids_no_results(client: Any, queue: str) -> None:
    assert list(client.iter_task_results(queue, [])) == []
