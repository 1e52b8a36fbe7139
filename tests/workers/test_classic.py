"""`ClassicWorker`: tasks that are function calls."""

from __future__ import annotations

from typing import Any

import pytest

from task_helpers import exceptions
from task_helpers.registry import Registry, registry, task_function
from task_helpers.testing import run_queue
from task_helpers.workers.classic import ClassicWorker
from task_helpers.workers.classic_async import ClassicAsyncWorker

Q = "calls"


@task_function(name="tests.workers.area")
def area(width: int, height: int = 1) -> int:
    return width * height


def outcome(courier: Any, task_data: Any, **fields: Any) -> Any:
    task_id = courier.add_task_to_queue(Q, task_data)
    run_queue(courier, ClassicWorker, queue_name=Q, **fields)
    [result] = courier.bulk_wait_for_task_results(Q, [task_id], timeout=0, return_exceptions=True)
    return result


@pytest.mark.parametrize(
    ("task_data", "expected"),
    [
        ({"function": area, "args": (2, 3)}, 6),
        ({"function": area, "args": (2,), "kwargs": {"height": 5}}, 10),
        ({"function": area, "kwargs": {"width": 4}}, 4),
        ({"function": "tests.workers.area", "args": [7]}, 7),
    ],
    ids=["args", "both", "kwargs", "by name"],
)
def test_a_registered_function_is_called(courier: Any, task_data: Any, expected: int) -> None:
    assert outcome(courier, task_data) == expected


def test_a_function_that_raises_fails_its_task(courier: Any) -> None:
    error = outcome(courier, {"function": area, "args": ()})
    assert error.exception_type == "TypeError"
    assert "width" in error.message


def test_a_function_the_worker_does_not_know_is_named(courier: Any) -> None:
    error = outcome(courier, {"function": "os.system", "args": ("true",)})
    assert isinstance(error, exceptions.PerformTaskError)
    assert error.exception_type == "UnknownFunction"
    assert "os.system" in error.message


@pytest.mark.parametrize(
    "task_data", [None, 5, "area", ["area"], {}, {"function": 3}, {"function": None, "args": ()}]
)
def test_a_wrong_shape_is_explained(courier: Any, task_data: Any) -> None:
    error = outcome(courier, task_data)
    assert error.exception_type == "InvalidFunction"
    assert '{"function": name' in error.message


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"args": 5}, '"args" of tests.workers.area must be a list or tuple, not 5'),
        ({"args": "23"}, "must be a list or tuple, not '23'"),
        ({"args": None}, "must be a list or tuple, not None"),
        ({"kwargs": 5}, '"kwargs" of tests.workers.area must be a dict, not 5'),
        ({"kwargs": [("a", 1)]}, "must be a dict, not [('a', 1)]"),
        ({"arg": (2,), "width": 3}, "has the unknown ['arg', 'width']: give arguments"),
    ],
    ids=str,
)
def test_arguments_of_a_wrong_shape_fail_that_task(
    courier: Any, extra: Any, complaint: str
) -> None:
    error = outcome(courier, {"function": area, **extra})
    assert isinstance(error, exceptions.PerformTaskError)
    assert error.exception_type == "InvalidFunction"
    assert complaint in error.message


def test_one_failing_call_leaves_the_others(courier: Any) -> None:
    calls = [{"function": area, "args": (n,)} for n in (1, None, 3)]
    calls[1]["args"] = ()
    task_ids = courier.bulk_add_tasks_to_queue(Q, calls)
    run_queue(courier, ClassicWorker, queue_name=Q, max_tasks_per_iteration=10)
    results = courier.bulk_wait_for_task_results(Q, task_ids, timeout=0, return_exceptions=True)
    assert (results[0], results[2]) == (1, 3)
    assert isinstance(results[1], exceptions.PerformTaskError)


def test_a_registry_of_ones_own(courier: Any) -> None:
    own = Registry()
    own.register(area, name="own.area")
    assert outcome(courier, {"function": "own.area", "args": (2, 2)}, functions=own) == 4
    assert "own.area" not in registry.names()


@pytest.mark.parametrize("kind", [ClassicWorker, ClassicAsyncWorker])
@pytest.mark.parametrize(
    "functions",
    [None, area, "area", ["area"], [area], {"area": area}, {1: area}, Registry],
    ids=["None", "function", "name", "names", "functions", "dict", "other dict", "class"],
)
def test_functions_that_are_no_registry_are_refused_before_a_task_is_taken(
    courier: Any, kind: Any, functions: Any
) -> None:
    # given a task, and a worker that could not look its function up
    courier.add_task_to_queue(Q, {"function": area, "args": (2,)})
    worker = kind(courier, queue_name=Q, burst=True, functions=functions)
    # when it starts
    with pytest.raises(ValueError, match="functions must be a Registry, not ") as caught:
        worker.perform()
    # then one line says how to make one, and the task waits for a better worker
    assert "register each function in it" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert courier.get_queue_stats(Q).waiting == 1
