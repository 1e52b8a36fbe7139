"""What the log says of tasks that fail."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

import pytest

from task_helpers.registry import Registry
from task_helpers.workers import _failures
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.base_async import BaseAsyncWorker
from task_helpers.workers.classic import ClassicWorker

Q = "work"


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def fail(data: Any) -> Any:
    if data == "row":
        raise sqlite3.IntegrityError("duplicate key\nDETAIL:  it is there")
    if data == "odd":
        raise Odd
    if data == "given":
        return KeyError("a decision")
    if isinstance(data, int):
        raise ValueError(f"{data} is wrong")
    raise LookupError


class OneByOne(BaseWorker):
    def perform_single_task(self, task: Any) -> Any:
        return fail(task[1])


class Awaiting(BaseAsyncWorker):
    max_concurrent_batches = 1

    async def perform_single_task(self, task: Any) -> Any:
        return fail(task[1])


class Together(BaseWorker):
    def perform_tasks(self, tasks: Any) -> Any:
        return [(task_id, fail(data)) for task_id, data in tasks]


def log_of(courier: Any, caplog: Any, data: Any, kind: Any = OneByOne, **fields: Any) -> Any:
    """The ids of tasks with this data, and the records about them."""
    task_ids = courier.bulk_add_tasks_to_queue(Q, data)
    kind(courier, queue_name=Q, burst=True, **fields).perform()
    return task_ids, caplog.records


@pytest.mark.parametrize("kind", [OneByOne, Awaiting, Together])
def test_a_bug_that_all_tasks_meet_is_one_record(courier: Any, caplog: Any, kind: Any) -> None:
    ids, [record] = log_of(courier, caplog, range(100), kind)
    assert record.message == (
        f"100 of 100 tasks in queue work failed: ValueError: 0 is wrong (task {ids[0]}, "
        f"attempt 1; also {', '.join(map(str, ids[1:5]))}, …)"
    )
    assert (record.levelno, record.name) == (logging.ERROR, "task_helpers.workers")
    assert caplog.text.count("Traceback") == 1
    assert 'raise ValueError(f"{data} is wrong")' in caplog.text


def test_each_kind_of_error_has_its_record(courier: Any, caplog: Any) -> None:
    ids, (wrong, missing) = log_of(courier, caplog, [1, "?", 2])
    assert wrong.message.startswith("2 of 3 tasks in queue work failed: ValueError: 1 is wrong")
    assert missing.message == f"Task {ids[1]} in queue work failed, attempt 1: LookupError"
    assert wrong.exc_info
    assert missing.exc_info


def test_what_an_error_was_raised_from_is_a_part_of_its_kind(courier: Any, caplog: Any) -> None:
    class Wrapping(OneByOne):
        def perform_single_task(self, task: Any) -> Any:
            try:
                return super().perform_single_task(task)
            except Exception as error:
                raise RuntimeError("no") from error

    _, records = log_of(courier, caplog, [1, "?", 2], Wrapping)
    wrong, missing = records
    assert wrong.message.startswith("2 of 3 tasks in queue work failed: RuntimeError: no")
    assert missing.exc_info


def test_a_traceback_is_shown_once_a_minute(
    courier: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker that performs the tasks of one bug one by one
    _, records = log_of(courier, caplog, [1, 2, 3], max_tasks_per_iteration=1)
    # then each is one line, and the first has the traceback
    assert [bool(record.exc_info) for record in records] == [True, False, False]
    assert records[2].message.endswith("failed, attempt 1: ValueError: 3 is wrong")
    # when a minute is short
    caplog.clear()
    monkeypatch.setattr(_failures, "TRACEBACK_PAUSE", 0)
    _, records = log_of(courier, caplog, [1, 2], max_tasks_per_iteration=1)
    # then the next one has it again
    assert [bool(record.exc_info) for record in records] == [True, True]


@pytest.mark.parametrize("kind", [OneByOne, Together])
def test_a_row_that_a_database_refuses_is_one_line(courier: Any, caplog: Any, kind: Any) -> None:
    [task_id], [record] = log_of(courier, caplog, ["row"], kind, on_batch_error="split")
    assert record.message == (
        f"Task {task_id} in queue work failed, attempt 1: "
        "IntegrityError: duplicate key DETAIL: it is there"
    )
    assert record.exc_info is None


@pytest.mark.parametrize("task_data", ["hello", {"function": "nobody.knows"}], ids=str)
def test_a_task_that_names_no_function_is_one_line(
    courier: Any, caplog: Any, task_data: Any
) -> None:
    courier.add_task_to_queue(Q, task_data)
    ClassicWorker(courier, queue_name=Q, burst=True).perform()
    [record] = caplog.records
    assert "Function: " in record.message
    assert record.exc_info is None


def test_an_attempt_is_counted(courier: Any, caplog: Any) -> None:
    courier.add_task_to_queue(Q, 7)
    OneByOne(courier, queue_name=Q, max_attempts=2, retry_delay=0).perform(2)
    assert [message.partition(", ")[2] for message in caplog.messages] == [
        "attempt 1: ValueError: 7 is wrong",
        "attempt 2: ValueError: 7 is wrong",
    ]


@pytest.mark.parametrize("kind", [OneByOne, Together])
def test_an_error_given_as_a_result_is_no_news(courier: Any, caplog: Any, kind: Any) -> None:
    _, records = log_of(courier, caplog, ["given"], kind)
    assert records == []


def test_a_text_that_cannot_be_read_fails_nothing(courier: Any, caplog: Any) -> None:
    _, [record] = log_of(courier, caplog, ["odd"])
    assert record.message.endswith("Odd: (its text cannot be read: RuntimeError)")


def test_what_failed_and_then_succeeded_is_no_failure(courier: Any, caplog: Any) -> None:
    # given a worker that has a value for what its tasks raise
    class Forgiving(OneByOne):
        def perform_tasks(self, tasks: Any) -> Any:
            return [(task_id, None) for task_id, _ in super().perform_tasks(tasks)]

    _, records = log_of(courier, caplog, [1, 2], Forgiving)
    assert records == []


@pytest.mark.parametrize("threads", [1, 4])
def test_functions_are_tasks_too(courier: Any, caplog: Any, threads: int) -> None:
    functions = Registry()
    functions.register(fail, name="fail")
    data = [{"function": "fail", "args": (number,)} for number in range(20)]
    _, records = log_of(courier, caplog, data, ClassicWorker, functions=functions, threads=threads)
    assert len(records) == 20
    assert 1 <= sum(bool(record.exc_info) for record in records) <= threads
