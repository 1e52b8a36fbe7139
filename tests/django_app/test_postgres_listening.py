"""On a PostgreSQL, who waits is told: one connection per process, and no questions meanwhile."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers._database import ear, hints, line, listener, transport
from django_task_helpers.couriers.database import DatabaseClientWorkerTaskCourier
from task_helpers.couriers import _lookout, _taking_flows
from tests.support.database_servers import DatabaseServer
from tests.support.databases import migrate, on_server
from tests.support.forking import fork
from tests.support.waiting import Stopwatch, in_thread, wait_until

Q = "q"
ALIAS = "listened"

LISTENERS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN %%'
"""


@pytest.fixture
def alias(
    postgres: DatabaseServer, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    listener._listeners.clear()
    with django_db_blocker.unblock(), on_server(ALIAS, postgres):
        yield ALIAS


@pytest.fixture
def courier(alias: str) -> Iterator[DatabaseClientWorkerTaskCourier]:
    courier = DatabaseClientWorkerTaskCourier(alias)
    yield courier
    courier.close()


@pytest.fixture
def seldom_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not told waits for longer than a test does."""
    monkeypatch.setattr(_lookout, "SWEEP_SECONDS", 30.0)
    monkeypatch.setattr(ear, "SWEEP_SECONDS", 30.0)
    monkeypatch.setattr(_taking_flows, "LONGEST_BLOCK", 30.0)


def asked(sql: str) -> list[Any]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()]


def listeners() -> list[int]:
    return asked(LISTENERS)


def channels_heard(count: int) -> bool:
    """Whether somebody listens by now, to so many channels."""
    [one] = listener._listener(ALIAS)._ears
    return len(one._open) >= count


def own(function: Callable[..., Any], *args: Any, **options: Any) -> Future[Any]:
    """In a thread, whose connection is closed at last."""

    def call() -> Any:
        try:
            return function(*args, **options)
        finally:
            connections[ALIAS].close()

    return in_thread(call)


def echo(courier: Any) -> None:
    for task_id, value in courier.bulk_wait_for_tasks(Q, 100, 20):
        courier.return_task_result(Q, task_id, value)


# --- Told


@pytest.mark.usefixtures("seldom_swept")
@pytest.mark.parametrize("added", [{}, {"priority": 5}, {"delay": 0.1}], ids=str)
def test_an_idle_worker_is_told_of_a_task(courier: Any, added: Any) -> None:
    # given a worker that waits, and is heard by nobody but the database
    idle = own(courier.bulk_wait_for_tasks, Q, 10, 20)
    wait_until(lambda: listeners() and channels_heard(2))
    # when there is a task
    watch = Stopwatch()
    task_id = DatabaseClientWorkerTaskCourier(ALIAS).add_task_to_queue(Q, 1, **added)
    # then it has it
    assert idle.result(5) == [(task_id, 1)]
    assert watch.seconds < 2


@pytest.mark.usefixtures("seldom_swept")
def test_an_idle_worker_is_told_of_a_release(courier: Any) -> None:
    other = DatabaseClientWorkerTaskCourier(ALIAS)
    task_id = other.add_task_to_queue(Q, 1)
    other.get_task(Q)
    idle = own(courier.bulk_wait_for_tasks, Q, 10, 20)
    wait_until(lambda: listeners() and channels_heard(2))
    other.release_tasks(Q)
    assert idle.result(5) == [(task_id, 1)]


@pytest.mark.usefixtures("seldom_swept")
@pytest.mark.parametrize("count", [1, 1_000])
@pytest.mark.parametrize("size", [1, 500])
def test_a_waiter_is_told_of_all_results(courier: Any, count: int, size: int) -> None:
    ids = courier.bulk_add_tasks_to_queue(Q, range(count))
    waiter = own(courier.bulk_wait_for_task_results, Q, ids)
    wait_until(lambda: listeners() and channels_heard(1))
    worker = DatabaseClientWorkerTaskCourier(ALIAS)
    tasks = worker.get_tasks(Q, max_count=count)
    worker.bulk_return_task_results(Q, [(task_id, "x" * size) for task_id, _ in tasks])
    assert waiter.result(10) == ["x" * size] * count


@pytest.mark.usefixtures("seldom_swept")
def test_a_courier_is_told_by_the_database_of_now(
    courier: Any, postgres: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a courier that was made before its database became another one, as those of tests do
    connections[ALIAS].close()
    with postgres.database() as url:
        monkeypatch.setitem(connections.settings[ALIAS], "NAME", urlsplit(url).path[1:])
        migrate(ALIAS)
        # when it waits
        idle = own(courier.bulk_wait_for_tasks, Q, 10, 20)
        wait_until(lambda: listeners() and channels_heard(2))
        # then it is told there
        task_id = courier.add_task_to_queue(Q, 1)
        assert idle.result(5) == [(task_id, 1)]


@pytest.mark.usefixtures("seldom_swept")
def test_many_threads_and_coroutines_wait_on_one_connection(courier: Any) -> None:
    # given 20 threads, and 50 coroutines of another courier, all in this process
    twin, ids = courier.awaitable(), courier.bulk_add_tasks_to_queue(Q, range(20))

    async def gathered() -> list[Any]:
        own_ids = await twin.bulk_add_tasks_to_queue(Q, range(20, 70))
        waits = [twin.wait_for_task_result(Q, task_id) for task_id in own_ids]
        return await asyncio.gather(*waits)

    threads = [own(courier.wait_for_task_result, Q, task_id) for task_id in ids]
    loop = own(asyncio.run, gathered())
    wait_until(lambda: len(listener._listener(ALIAS)._ears) == 2)
    wait_until(lambda: all(len(one._open) == 1 for one in listener._listener(ALIAS)._ears))
    wait_until(lambda: sum(len(o.lookout._waiters) for o in listener._listener(ALIAS)._ears) == 70)
    # then there is one who listens
    assert len(listeners()) == 1
    # and all get their results
    worker = DatabaseClientWorkerTaskCourier(ALIAS)
    worker.bulk_return_task_results(Q, worker.get_tasks(Q, max_count=70))
    assert [thread.result(10) for thread in threads] == list(range(20))
    assert loop.result(10) == list(range(20, 70))


def test_a_hint_that_is_none_of_ours_says_nothing(courier: Any, caplog: Any) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    waiter = own(courier.wait_for_task_result, Q, task_id)
    wait_until(lambda: listeners() and channels_heard(1))
    name = hints.channel_of_client(courier._waiting.channel)
    for said in ("no base64", "AAAA", "kQE=", ""):
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [name, said])
    courier.return_task_result(Q, *courier.get_task(Q))
    assert waiter.result(5) == 1
    assert not caplog.records


# --- Not told


def kill_listeners() -> None:
    assert asked(LISTENERS.replace("SELECT pid", "SELECT pg_terminate_backend(pid)")) == [True]


def test_a_listener_that_was_killed_comes_back(
    courier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # given somebody who waits
    task_id = courier.add_task_to_queue(Q, 1)
    waiter = own(courier.wait_for_task_result, Q, task_id)
    [pid] = wait_until(listeners)
    # when the connection is killed
    with caplog.at_level(logging.WARNING, "task_helpers.couriers"):
        kill_listeners()
        # then there is another one, a line says what happened, and nothing is lost
        wait_until(lambda: listeners() not in ([], [pid]))
    [record] = caplog.records
    assert f"Database '{ALIAS}' does not tell what happens" in record.getMessage()
    courier.return_task_result(Q, *courier.get_task(Q))
    assert waiter.result(5) == 1


@pytest.mark.parametrize("why", ["driver", "pooler"])
def test_where_nobody_can_listen_all_look_and_the_log_says_so_once(
    courier: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    # given an old driver, or a pooler that passes nothing on and names processes of its own
    if why == "driver":
        monkeypatch.setattr(connections[ALIAS].Database, "__name__", "psycopg2")
    else:
        monkeypatch.setattr(line, "PROBE_SECONDS", 0.1)
        monkeypatch.setattr(line.Line, "_pid_told", lambda self: -1)
        monkeypatch.setattr(line.Line, "_received", lambda self: iter(()))
    # when tasks are called for again and again
    for value in range(5):
        worker = own(echo, courier)
        assert courier.call(Q, value, timeout=10) == value
        worker.result(5)
    # then they are done, and one line says why they took longer
    [record] = wait_until(lambda: caplog.records)
    assert "it is asked instead" in record.getMessage()


def test_a_pooler_that_passes_hints_on_is_listened_to(
    courier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line.Line, "_pid_told", lambda self: -1)
    task_id = courier.add_task_to_queue(Q, 1)
    waiter = own(courier.wait_for_task_result, Q, task_id)
    wait_until(lambda: listeners() and channels_heard(1))
    courier.return_task_result(Q, *courier.get_task(Q))
    assert waiter.result(5) == 1


# --- The connection comes and goes


def test_who_only_adds_and_reads_opens_none(courier: Any) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    courier.return_task_result(Q, *courier.get_task(Q))
    assert courier.get_task_result(Q, task_id) == 1
    assert listeners() == []


def test_closing_the_courier_closes_it_and_using_it_opens_another(courier: Any) -> None:
    for _ in range(2):
        worker = own(echo, courier)
        wait_until(listeners)
        assert courier.call(Q, 1, timeout=10) == 1
        worker.result(5)
        courier.close()
        wait_until(lambda: not listeners())


def test_a_forked_child_leaves_its_parents_connection_alone(courier: Any) -> None:
    # given a parent that waits
    ids = courier.bulk_add_tasks_to_queue(Q, [1, 2])
    waiter = own(courier.bulk_wait_for_task_results, Q, ids)
    [pid] = wait_until(listeners)

    # when a child is forked, which ends them and calls for another
    def child() -> None:
        courier.bulk_return_task_results(Q, courier.get_tasks(Q, max_count=2))
        threading.Thread(target=echo, args=[courier]).start()
        assert courier.call(Q, 3, timeout=10) == 3

    fork(child)()
    # then the parent is told on the connection that it had
    assert waiter.result(10) == [1, 2]
    assert wait_until(lambda: listeners() == [pid])  # that of the child goes a little after it


# --- Questions meanwhile


def test_who_waits_asks_once_a_second(courier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a worker and a waiter who have nothing to do
    task_id = courier.add_task_to_queue("other", 1)
    idle = [
        own(courier.bulk_wait_for_tasks, Q, 10, 3),
        own(courier.wait_for_task_result, "other", task_id, timeout=3),
    ]
    wait_until(lambda: listeners() and channels_heard(2))
    asked_for = [0]
    perform = transport.performed

    def counted(*args: Any) -> Any:
        asked_for[0] += 1
        return perform(*args)

    monkeypatch.setattr(transport, "performed", counted)
    # when some seconds pass
    for waiter in idle:
        with pytest.raises(TimeoutError):
            waiter.result(10)
    # then each has asked once in each of them
    assert 2 <= asked_for[0] <= 10
