"""Tasks that are added when a transaction commits, by couriers whose tasks are elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings

from django_task_helpers import async_courier, courier
from task_helpers.exceptions import (
    CourierUnavailable,
    PayloadTooLarge,
    QueueFull,
    SerializationError,
    TaskResultDoesNotExist,
    WaitInTransactionError,
)
from task_helpers.testing import assert_enqueued, run_queue, running_worker
from task_helpers.workers.base import BaseWorker

Q = "mail"
MEMORY = "task_helpers.couriers.memory.MemoryClientWorkerTaskCourier"
REDIS = "task_helpers.couriers.redis.RedisClientWorkerTaskCourier"
NOWHERE = "redis://127.0.0.1:1/0"


class Echo(BaseWorker):
    queue_name = Q

    def perform_tasks(self, tasks: Any) -> Any:
        return tasks


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction, or a savepoint within one, whose block ends by an error."""
    with suppress(ZeroDivisionError), transaction.atomic():
        yield
        raise ZeroDivisionError


def length() -> int:
    return courier.get_queue_stats(Q).waiting


@pytest.fixture(params=["memory", "redis"])
def elsewhere(request: Any, configured: Any, transactional_db: None) -> None:
    """The tasks are not in the database."""
    if request.param == "memory":
        one: dict[str, Any] = {"BACKEND": MEMORY}
    else:
        url, prefix = request.getfixturevalue("redis_url"), request.getfixturevalue("prefix")
        one = {"BACKEND": REDIS, "LOCATION": url, "OPTIONS": {"prefix": prefix}}
    configured({"COURIERS": {"default": one}})


def add(task_data: Any = 1, **how: Any) -> UUID:
    return courier.add_task_to_queue(Q, task_data, on_commit=True, **how)


# --- When it is added


@pytest.mark.usefixtures("elsewhere")
def test_a_task_is_added_when_the_transaction_commits() -> None:
    # given a task added in a transaction
    with transaction.atomic():
        task_id = add("hello")
        # then it is not there before the end
        assert length() == 0
        assert courier.get_task_status(Q, task_id) == "unknown"
    # and there afterwards, under the id that was given at once
    assert courier.get_tasks(Q) == [(task_id, "hello")]


@pytest.mark.usefixtures("elsewhere")
def test_it_is_not_added_when_the_transaction_rolls_back() -> None:
    with rolled_back():
        add()
    assert length() == 0


@pytest.mark.usefixtures("elsewhere")
def test_a_savepoint_takes_its_tasks_with_it() -> None:
    # given a block within a block that is rolled back
    with transaction.atomic():
        first = add("outer")
        with rolled_back():
            add("inner")
        last = add("outer too")
    # then the tasks of the outer one alone are added, in their order
    assert courier.get_tasks(Q) == [(first, "outer"), (last, "outer too")]


@pytest.mark.usefixtures("elsewhere")
def test_without_a_transaction_it_is_added_at_once() -> None:
    add()
    assert length() == 1


@pytest.mark.usefixtures("elsewhere")
def test_many_are_added_together() -> None:
    with transaction.atomic():
        ids = courier.bulk_add_tasks_to_queue(Q, range(1500), on_commit=True)
        assert length() == 0
    assert [task_id for task_id, _ in courier.get_tasks(Q, 1000)] == ids[:1000]
    assert len(ids) == 1500
    assert courier.bulk_add_tasks_to_queue(Q, [], on_commit=True) == []


@pytest.mark.usefixtures("elsewhere")
def test_how_it_is_added_counts_too() -> None:
    with transaction.atomic():
        add("later", delay=60)
        add("second")
        add("first", priority=5, expires=60, weight=3)
    assert [data for _, data in courier.get_tasks(Q)] == ["first", "second"]
    assert courier.get_queue_stats(Q).delayed == 1


@pytest.mark.usefixtures("elsewhere")
def test_a_worker_s_answer_is_read_after_the_block() -> None:
    with transaction.atomic():
        ids = [add(1), add(2)]
    run_queue(courier, Echo)
    assert courier.bulk_wait_for_task_results(Q, ids, timeout=5) == [1, 2]


# --- What is refused at once


REFUSED: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (object(), {}, SerializationError, "object"),
    ("x" * 2_000_000, {}, PayloadTooLarge, "max_payload"),
    (1, {"priority": 101}, ValueError, "priority"),
    (1, {"expires": -1}, ValueError, "expires"),
    (1, {"delay": 1, "run_at": 2}, ValueError, "not both"),
    (1, {"patience": 1}, TypeError, "'patience' is no option of a task"),
    (1, {"key": "a"}, ValueError, "which task has the key shows when it is added"),
]


@pytest.mark.parametrize(("task_data", "how", "error", "text"), REFUSED)
@pytest.mark.usefixtures("db")
def test_bad_input_is_refused_where_it_is_given(
    on_memory: Any, task_data: Any, how: Any, error: type[Exception], text: str
) -> None:
    on_memory()
    with transaction.atomic():
        with pytest.raises(error, match=text):
            add(task_data, **how)
        assert connection.run_on_commit == []


@pytest.mark.parametrize("alias", ["defalt", ""])
@pytest.mark.usefixtures("db")
def test_an_unknown_database_is_named(on_memory: Any, alias: str) -> None:
    on_memory()
    with pytest.raises(ValueError, match=f"on_commit names '{alias}', which is no database"):
        courier.add_task_to_queue(Q, 1, on_commit=alias)


@pytest.mark.parametrize("on_commit", [None, 0, 1, b"default", ["default"], connection], ids=type)
@pytest.mark.parametrize("add", ["add_task_to_queue", "bulk_add_tasks_to_queue"])
@pytest.mark.usefixtures("db")
def test_what_is_no_answer_to_on_commit_adds_nothing(
    on_memory: Any, add: str, on_commit: Any
) -> None:
    on_memory()
    complaint = "on_commit must be True, False or the alias of a database, not "
    for adding in (getattr(courier, add), async_to_sync(getattr(async_courier, add))):
        with pytest.raises(TypeError, match=complaint):
            adding(Q, [1], on_commit=on_commit)
    assert length() == 0
    assert connection.run_on_commit == []


@pytest.mark.parametrize("on_commit", [True, False])
def test_a_call_cannot_wait_for_a_commit(on_memory: Any, on_commit: bool) -> None:
    on_memory()
    options: Any = {"on_commit": on_commit}
    with pytest.raises(TypeError, match="call waits for a result, which cannot come before"):
        courier.call(Q, 1, timeout=1, **options)
    with pytest.raises(TypeError, match="call waits for a result, which cannot come before"):
        asyncio.run(async_courier.call(Q, 1, timeout=1, **options))


# --- What the store raises


@pytest.mark.usefixtures("transactional_db")
def test_a_store_that_is_away_is_an_error_where_the_transaction_ends(configured: Any) -> None:
    # given a Redis that nobody reaches
    away = {"BACKEND": REDIS, "LOCATION": NOWHERE, "OPTIONS": {"retry_seconds": 0}}
    configured({"COURIERS": {"default": away}})
    # when a transaction commits that has tasks to add
    with pytest.raises(CourierUnavailable) as caught, transaction.atomic():
        courier.bulk_add_tasks_to_queue(Q, [1, 2], on_commit=True)
    # then its end says so, and what is missing
    assert caught.value.__notes__ == [
        "2 tasks may be missing in queue mail: the transaction that was to add them is committed"
    ]


@pytest.mark.usefixtures("transactional_db")
def test_a_full_queue_is_an_error_where_the_transaction_ends(configured: Any) -> None:
    full = {"BACKEND": MEMORY, "OPTIONS": {"max_queue_length": 1}}
    configured({"COURIERS": {"default": full}})
    add()
    with pytest.raises(QueueFull), transaction.atomic():
        add()


# --- Waiting inside of the transaction


WAITS: dict[str, Callable[[UUID], Any]] = {
    "wait_for_task_result": lambda i: courier.wait_for_task_result(Q, i),
    "bulk_wait_for_task_results": lambda i: courier.bulk_wait_for_task_results(Q, iter([i])),
    "iter_task_results": lambda i: courier.iter_task_results(Q, [i]),
    "get_task_result": lambda i: courier.get_task_result(Q, i),
    "as text": lambda i: courier.wait_for_task_result(Q, i.hex.upper()),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=list(WAITS))
@pytest.mark.usefixtures("elsewhere")
def test_what_is_not_added_yet_cannot_be_waited_for(wait: Callable[[UUID], Any]) -> None:
    with transaction.atomic():
        task_id = add()
        with transaction.atomic(), pytest.raises(WaitInTransactionError) as caught:
            wait(task_id)
    # then the error says at once what to do
    assert str(caught.value).startswith("task ")
    assert "wait after the atomic() block, or answer with the id" in str(caught.value)


@pytest.mark.usefixtures("elsewhere")
def test_what_was_added_before_can() -> None:
    # given a task that was added, performed and has a result
    before = courier.add_task_to_queue(Q, "before")
    run_queue(courier, Echo)
    # when it is asked for within a transaction that adds another one
    with transaction.atomic():
        add()
        # then it is there
        assert courier.wait_for_task_result(Q, before, timeout=5) == "before"


@pytest.mark.usefixtures("elsewhere")
def test_of_a_rolled_back_task_it_is_said_that_it_is_not_there() -> None:
    with transaction.atomic():
        with rolled_back():
            task_id = add()
        with pytest.raises(TaskResultDoesNotExist):
            courier.get_task_result(Q, task_id)


# --- Awaitable


@pytest.mark.usefixtures("elsewhere")
def test_coroutines_add_on_commit_too() -> None:
    @async_to_sync
    async def view() -> UUID:
        return await async_courier.add_task_to_queue(Q, "hello", on_commit=True)

    # given a coroutine run by a thread that has a transaction open
    with transaction.atomic():
        task_id = view()
        # then the task waits for its end
        assert length() == 0
    assert courier.get_tasks(Q) == [(task_id, "hello")]
    # and without one it is added at once
    other = view()
    assert courier.get_tasks(Q) == [(other, "hello")]


@pytest.mark.parametrize("name", ["wait_for_task_result", "get_task_result", "iter_task_results"])
@pytest.mark.usefixtures("elsewhere")
def test_coroutines_cannot_wait_for_what_is_not_added_yet(name: str) -> None:
    @async_to_sync
    async def view() -> Any:
        [task_id] = await async_courier.bulk_add_tasks_to_queue(Q, [1], on_commit=True)
        if name == "iter_task_results":
            return [task async for task in async_courier.iter_task_results(Q, [task_id])]
        return await getattr(async_courier, name)(Q, task_id)

    with transaction.atomic(), pytest.raises(WaitInTransactionError):
        view()


@pytest.mark.usefixtures("elsewhere")
def test_a_coroutine_reads_what_it_added_on_commit() -> None:
    def in_a_transaction() -> UUID:
        with transaction.atomic():
            return add("hello")

    @async_to_sync
    async def view() -> Any:
        task_id = await sync_to_async(in_a_transaction)()
        await sync_to_async(run_queue)(courier, Echo)
        return [task async for task in async_courier.iter_task_results(Q, [task_id], timeout=5)]

    assert [data for _, data in view()] == ["hello"]


# --- Django's tests


in_memory = override_settings(TASK_HELPERS={"COURIERS": {"default": {"BACKEND": MEMORY}}})


@in_memory
class InTestCases(TestCase):
    def test_captured_callbacks_add_the_tasks(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            task_id = add("hello")
            assert_enqueued(courier, Q, count=0)
        assert len(callbacks) == 1
        assert_enqueued(courier, Q, "hello", count=1)
        run_queue(courier, Echo)
        assert courier.wait_for_task_result(Q, task_id, timeout=5) == "hello"

    def test_a_worker_beside_answers_a_call(self) -> None:
        with running_worker(courier, Echo):
            assert courier.call(Q, "hello", timeout=20) == "hello"

    def test_without_them_a_wait_says_what_to_write(self) -> None:
        task_id = add()
        with self.assertRaisesMessage(WaitInTransactionError, "captureOnCommitCallbacks(execute="):
            courier.wait_for_task_result(Q, task_id)


@in_memory
class InTransactionTestCases(TransactionTestCase):
    def test_tasks_are_added_as_in_production(self) -> None:
        with transaction.atomic():
            add("hello")
            assert_enqueued(courier, Q, count=0)
        assert_enqueued(courier, Q, "hello", count=1)
