"""Registered functions that are `async def`."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from typing import Any

import pytest

from task_helpers import context, task_function
from task_helpers.workers.classic import ClassicWorker

Q = "calls"
threads = pytest.mark.parametrize("threads", [1, 3])
noted = contextvars.ContextVar("noted", default="nothing")
left_behind: list[Any] = []


@task_function(name="tests.coroutines.double")
async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


class Callable:
    async def __call__(self, number: int) -> int:
        return await double(number)


task_function(name="tests.coroutines.partial")(functools.partial(double, 4))
task_function(name="tests.coroutines.callable")(Callable())


@task_function(name="tests.coroutines.knows")
async def knows() -> Any:
    [task_id] = await asyncio.gather(asyncio.to_thread(lambda: context.task_id))
    before = noted.get()
    noted.set("something")
    return task_id, before


@task_function(name="tests.coroutines.loop")
async def loop_of() -> int:
    return id(asyncio.get_running_loop())


@task_function(name="tests.coroutines.leaves")
async def leaves() -> str:
    left_behind.append(asyncio.create_task(asyncio.sleep(60)))
    await asyncio.sleep(0)
    return "done"


@task_function(name="tests.coroutines.cancelled")
async def cancelled() -> None:
    raise asyncio.CancelledError("by itself")


def outcomes(courier: Any, calls: list[Any], **fields: Any) -> list[Any]:
    ids = courier.bulk_add_tasks_to_queue(Q, calls)
    ClassicWorker(courier, queue_name=Q, burst=True, **fields).perform()
    results: list[Any] = courier.bulk_wait_for_task_results(
        Q, ids, timeout=0, return_exceptions=True
    )
    return results


@threads
def test_a_coroutine_function_is_awaited(courier: Any, threads: int) -> None:
    calls = [{"function": double, "args": (n,)} for n in range(20)]
    calls += [
        {"function": "tests.coroutines.partial"},
        {"function": "tests.coroutines.callable", "args": (5,)},
    ]
    assert outcomes(courier, calls, threads=threads) == [*range(0, 40, 2), 8, 10]


@threads
def test_each_call_has_a_context_of_its_own(courier: Any, threads: int) -> None:
    ids = courier.bulk_add_tasks_to_queue(Q, [{"function": knows}] * 10)
    ClassicWorker(courier, queue_name=Q, burst=True, threads=threads).perform()
    results = courier.bulk_wait_for_task_results(Q, ids, timeout=0)
    assert results == [(task_id, "nothing") for task_id in ids]


def test_a_thread_has_one_loop_for_all_calls(courier: Any) -> None:
    assert len(set(outcomes(courier, [{"function": loop_of}] * 10))) == 1


@threads
def test_what_a_call_leaves_behind_is_cancelled(courier: Any, threads: int) -> None:
    left_behind.clear()
    assert outcomes(courier, [{"function": leaves}] * 3, threads=threads) == ["done"] * 3
    assert [task.cancelled() for task in left_behind] == [True] * 3


@threads
def test_a_call_that_is_cancelled_fails_alone(courier: Any, threads: int) -> None:
    calls = [{"function": cancelled}, {"function": double, "args": (1,)}]
    error, result = outcomes(courier, calls, threads=threads)
    assert "CancelledError" in error.message
    assert result == 2
