"""Tasks in a database, and the transactions of those who add them and wait for them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction
from django.http import HttpRequest, JsonResponse
from django.test import Client, TestCase, TransactionTestCase, override_settings
from django.urls import path
from pytest_django.plugin import DjangoDbBlocker

from config import environment
from django_task_helpers import async_courier, courier
from django_task_helpers.couriers.database import DatabaseClientWorkerTaskCourier
from django_task_helpers.models import Batch, Result, SharedKey, Task
from task_helpers.exceptions import (
    CourierError,
    SerializationError,
    TaskTimeout,
    WaitInTransactionError,
)
from task_helpers.testing import assert_enqueued, run_queue, running_worker
from task_helpers.workers.base import BaseWorker
from tests.support.databases import bare_database, database
from tests.support.waiting import Stopwatch, in_thread, wait_until

Q = "mail"
DATABASE = "django_task_helpers.couriers.database.DatabaseClientWorkerTaskCourier"
USING = "tasks"
TRIES = 500

AT_ONCE = 1.0
"""Seconds: less than any timeout here."""


class Echo(BaseWorker):
    queue_name = Q

    def perform_tasks(self, tasks: Any) -> Any:
        return tasks


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction, or a savepoint within one, whose block ends by an error."""
    with suppress(ZeroDivisionError), transaction.atomic(using=USING):
        yield
        raise ZeroDivisionError


in_transaction = partial(transaction.atomic, using=USING)


def on_another_connection(function: Callable[[], Any]) -> Any:
    def ask() -> Any:
        try:
            return function()
        finally:
            connections.close_all()

    return in_thread(ask).result(timeout=20)


def seen() -> int:
    """How many tasks a worker would find."""
    return on_another_connection(lambda: courier.get_queue_stats(Q).waiting)


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mariadb"])
def tables(
    request: Any, tmp_path_factory: Any, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """A database under the alias USING, with the tables of the courier."""
    with django_db_blocker.unblock():
        if request.param == "sqlite":
            file = tmp_path_factory.mktemp("tasks") / "tasks.sqlite3"
            with database(USING, **environment.database(f"sqlite:///{file}")):
                yield
        else:
            server = request.getfixturevalue(request.param)
            with server.database() as url, database(USING, **environment.database(url)):
                yield


@pytest.fixture
def using(tables: None, configured: Any, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The default courier is on it, and nothing is in its queues."""
    options = {"using": USING, "result_ttl": 60}
    configured({"COURIERS": {"default": {"BACKEND": DATABASE, "OPTIONS": options}}})
    with django_db_blocker.unblock():
        yield
        for model in (Task, Batch, Result, SharedKey):
            model._default_manager.using(USING).all().delete()


# --- Adding


@pytest.mark.usefixtures("using")
def test_a_task_is_there_when_the_transaction_commits() -> None:
    # given a task added in a transaction
    with in_transaction():
        task_id = courier.add_task_to_queue(Q, "hello")
        # then it is there for the transaction, and for nobody else
        assert courier.get_task_status(Q, task_id) == "waiting"
        assert seen() == 0
    # and for all after the commit
    assert seen() == 1
    assert courier.get_tasks(Q) == [(task_id, "hello")]


@pytest.mark.usefixtures("using")
def test_a_rollback_takes_the_task_with_it() -> None:
    with rolled_back():
        courier.bulk_add_tasks_to_queue(Q, range(1500))
        courier.add_task_to_queue(Q, 1, key="shared")
    assert seen() == 0
    # and its key is free
    with in_transaction():
        first = courier.add_task_to_queue(Q, "outer", key="shared")
        with rolled_back():
            assert courier.add_task_to_queue(Q, "inner", key="shared") == first
            courier.add_task_to_queue(Q, "inner")
    assert courier.get_tasks(Q) == [(first, "outer")]


@pytest.mark.usefixtures("using")
def test_on_commit_in_its_own_database_is_the_transaction_itself() -> None:
    # given a task added on commit, where even a key is possible
    with in_transaction():
        task_id = courier.add_task_to_queue(Q, 1, on_commit=USING, key="shared")
        assert connections[USING].run_on_commit == []
        assert courier.get_task_status(Q, task_id) == "waiting"
        with pytest.raises(SerializationError):
            courier.add_task_to_queue(Q, object(), on_commit=USING)
    # then it is there afterwards
    assert seen() == 1


@pytest.fixture
def rows(using: None, tmp_path: Path) -> Iterator[str]:
    """The alias of another database."""
    file = tmp_path / "rows.sqlite3"
    with bare_database("rows", **environment.database(f"sqlite:///{file}")) as alias:
        yield alias


def test_on_commit_of_another_database_waits_for_that_one(rows: str) -> None:
    # given a transaction on another database than that of the tasks
    with transaction.atomic(using=rows):
        courier.add_task_to_queue(Q, 1, on_commit=rows)
        assert seen() == 0
    # then the task is added when that one commits
    assert seen() == 1
    # and not when it rolls back
    with suppress(ZeroDivisionError), transaction.atomic(using=rows):
        courier.add_task_to_queue(Q, 2, on_commit=rows)
        raise ZeroDivisionError
    assert seen() == 1


@pytest.mark.usefixtures("using")
def test_coroutines_add_in_the_transaction_of_their_thread() -> None:
    add = async_to_sync(async_courier.add_task_to_queue)
    with rolled_back():
        add(Q, 1)
        add(Q, 2, on_commit=USING)
        assert courier.get_queue_stats(Q).waiting == 2
    assert seen() == 0


@pytest.mark.usefixtures("using")
def test_no_task_of_a_rollback_is_ever_performed() -> None:
    # given a worker beside
    seed = random.randrange(10**6)
    print("seed", seed)
    chance, committed, performed = random.Random(seed), set[int](), list[int]()

    class Noting(BaseWorker):
        queue_name = Q

        def perform_tasks(self, tasks: Any) -> Any:
            performed.extend(data for _, data in tasks)
            return tasks

        def destroy(self) -> None:
            connections.close_all()

    with running_worker(courier, Noting):
        # when many transactions roll back, some of them to a savepoint, and a few commit
        for number in range(TRIES):
            with rolled_back():
                courier.add_task_to_queue(Q, -1)
            if chance.random() < 0.1:
                with in_transaction():
                    courier.add_task_to_queue(Q, number)
                    with rolled_back():
                        courier.add_task_to_queue(Q, -2)
                committed.add(number)
        wait_until(lambda: len(performed) >= len(committed), 60)
    # then what was committed was performed, once, and nothing else
    assert sorted(performed) == sorted(committed)
    assert seen() == 0


# --- Waiting


WAITS: dict[str, Callable[[UUID], Any]] = {
    "call": lambda i: courier.call(Q, 1, timeout=30),
    "wait_for_task_result": lambda i: courier.wait_for_task_result(Q, i, timeout=30),
    "bulk_wait_for_task_results": lambda i: courier.bulk_wait_for_task_results(Q, [i], timeout=30),
    "iter_task_results": lambda i: courier.iter_task_results(Q, [i], timeout=30),
    "await call": lambda i: async_to_sync(async_courier.call)(Q, 1, timeout=30),
    "await wait_for_task_result": lambda i: async_to_sync(async_courier.wait_for_task_result)(
        Q, i, timeout=30
    ),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=list(WAITS))
@pytest.mark.usefixtures("using")
def test_a_wait_inside_of_a_transaction_is_refused_at_once(wait: Callable[[UUID], Any]) -> None:
    before = courier.add_task_to_queue(Q, "before")
    with in_transaction(), in_transaction():
        # when somebody waits inside of a transaction
        stopwatch = Stopwatch()
        with pytest.raises(WaitInTransactionError) as caught:
            wait(before)
        # then the error comes at once, says how to get out, and nothing was added
        assert stopwatch.seconds < AT_ONCE
        assert str(caught.value) == (
            "a transaction is open on database 'tasks', and no worker sees the task before it "
            "commits: wait after the atomic() block, or add the task now and answer with its id (a "
            "view under ATOMIC_REQUESTS gets out by @transaction.non_atomic_requests)"
        )
        assert courier.get_queue_stats(Q).waiting == 1


@pytest.mark.usefixtures("using")
def test_a_wait_without_autocommit_is_refused_too() -> None:
    # given a connection on which every statement is a part of a transaction
    transaction.set_autocommit(False, using=USING)
    try:
        task_id = courier.add_task_to_queue(Q, 1)
        # then a wait says so at once
        with pytest.raises(WaitInTransactionError):
            courier.wait_for_task_result(Q, task_id, timeout=30)
        # and is possible after the commit
        transaction.commit(using=USING)
    finally:
        transaction.set_autocommit(True, using=USING)
    with running_worker(courier, Echo):
        assert courier.wait_for_task_result(Q, task_id, timeout=30) == 1


@pytest.mark.usefixtures("using")
def test_a_courier_made_by_hand_refuses_it_too() -> None:
    made = DatabaseClientWorkerTaskCourier(USING)
    with in_transaction(), pytest.raises(WaitInTransactionError):
        made.call(Q, 1, timeout=30)
    with in_transaction(), pytest.raises(WaitInTransactionError):
        async_to_sync(made.awaitable().call)(Q, 1, timeout=30)


@pytest.mark.usefixtures("using")
def test_what_does_not_wait_may_be_asked_inside_of_a_transaction() -> None:
    task_id = courier.add_task_to_queue(Q, "hello")
    run_queue(courier, Echo)
    with in_transaction():
        assert courier.check_for_done(Q, task_id)
        assert courier.get_task_result(Q, task_id) == "hello"


def test_a_transaction_on_another_database_is_no_hindrance(rows: str) -> None:
    with running_worker(courier, Echo), transaction.atomic(using=rows):
        assert courier.call(Q, "hello", timeout=20) == "hello"


# --- Views under ATOMIC_REQUESTS


def waits(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"result": courier.call(Q, 1, timeout=20)})


@transaction.non_atomic_requests(using=USING)
def waits_outside(request: HttpRequest) -> JsonResponse:
    return waits(request)


def answers_with_the_id(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"id": courier.add_task_to_queue(Q, 1)})


urlpatterns = [
    path("waits/", waits),
    path("outside/", waits_outside),
    path("id/", answers_with_the_id),
]


@pytest.fixture
def atomic_requests(using: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of views that are transactions."""
    settings.ROOT_URLCONF = __name__
    monkeypatch.setitem(connections[USING].settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setitem(connections.settings[USING], "ATOMIC_REQUESTS", True)
    return Client()


def test_under_atomic_requests_a_view_is_told_how_to_get_out(atomic_requests: Client) -> None:
    with pytest.raises(WaitInTransactionError, match="non_atomic_requests"):
        atomic_requests.get("/waits/")
    assert seen() == 0


def test_the_ways_out_of_atomic_requests_work(atomic_requests: Client) -> None:
    with running_worker(courier, Echo):
        assert atomic_requests.get("/outside/").json() == {"result": 1}
        task_id = atomic_requests.get("/id/").json()["id"]
        assert courier.wait_for_task_result(Q, task_id, timeout=20) == 1


# --- Without tables


@pytest.mark.usefixtures("using")
def test_missing_tables_are_named_in_one_line_also_in_a_transaction(
    configured: Any, tmp_path: Any
) -> None:
    empty = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}
    with bare_database("empty", **empty):
        configured({"COURIERS": {"default": {"BACKEND": DATABASE, "OPTIONS": {"using": "empty"}}}})
        for block in (nullcontext(), transaction.atomic(using="empty")):
            with pytest.raises(CourierError) as caught, block:
                courier.add_task_to_queue(Q, 1)
            assert "database 'empty' lacks a table" in str(caught.value)
            assert "migrate django_task_helpers --database empty" in str(caught.value)
            assert "\n" not in str(caught.value)


# --- Django's tests, on the database that they make


@override_settings(TASK_HELPERS=None)
class InTestCases(TestCase):
    def test_tasks_are_added_performed_and_read(self) -> None:
        task_id = courier.add_task_to_queue(Q, "hello", on_commit=True)
        assert_enqueued(courier, Q, "hello", count=1)
        assert run_queue(courier, Echo) == 1
        assert courier.wait_for_task_result(Q, task_id, timeout=5) == "hello"

    def test_they_are_gone_with_the_test(self) -> None:
        assert_enqueued(courier, Q, count=0)

    def test_a_wait_in_an_atomic_block_of_the_code_is_refused(self) -> None:
        with transaction.atomic(), pytest.raises(WaitInTransactionError):
            courier.call(Q, 1, timeout=30)

    def test_a_call_that_no_worker_could_answer_is_refused_at_once(self) -> None:
        # when somebody calls in the transaction of the test, which no other connection looks into
        stopwatch = Stopwatch()
        with pytest.raises(WaitInTransactionError) as caught:
            courier.call(Q, 1, timeout=30)
        # then the error comes at once, says what to do, and nothing was added
        assert stopwatch.seconds < AT_ONCE
        assert str(caught.value) == (
            "a TestCase is a transaction on database 'default', and no worker sees the task: use a "
            "TransactionTestCase, or add the task, perform it by run_queue and read its result"
        )
        assert_enqueued(courier, Q, count=0)

    def test_a_call_on_a_connection_that_threads_share_is_not_refused(self) -> None:
        # given that the worker's thread may have the connection of the test, and see the task
        shared: Any = connections["default"]
        shared.inc_thread_sharing()
        self.addCleanup(shared.dec_thread_sharing)
        # then a call waits
        with pytest.raises(TaskTimeout):
            courier.call(Q, 1, timeout=0)

    async def test_an_awaited_call_is_answered_by_who_runs_the_queue_meanwhile(self) -> None:
        call = asyncio.create_task(async_courier.call(Q, "hello", timeout=20))
        while not await sync_to_async(run_queue)(courier, Echo):
            assert not call.done()
        assert await call == "hello"

    async def test_coroutines_see_the_same_rows(self) -> None:
        task_id = await async_courier.add_task_to_queue(Q, "hello")
        await sync_to_async(run_queue)(courier, Echo)
        assert await async_courier.wait_for_task_result(Q, task_id, timeout=5) == "hello"


@override_settings(TASK_HELPERS=None)
class InTransactionTestCases(TransactionTestCase):
    def test_a_worker_beside_answers_a_call(self) -> None:
        with running_worker(courier, Echo):
            assert [courier.call(Q, number, timeout=20) for number in range(20)] == list(range(20))
