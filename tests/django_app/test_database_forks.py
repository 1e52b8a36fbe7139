"""What a forked child finds of its parent's connections."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers.database import DatabaseClientTaskCourier
from django_task_helpers.couriers.database_async import DatabaseAsyncClientTaskCourier
from tests.support.databases import sqlite

USING, Q = "forks", "forks"


@pytest.fixture(autouse=True)
def file(
    tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    with django_db_blocker.unblock(), sqlite(USING, tmp_path / "file", "delete"):
        yield


def blocking() -> Callable[[], Any]:
    courier = DatabaseClientTaskCourier(USING)
    return lambda: courier.add_task_to_queue(Q, 1)


def awaitable() -> Callable[[], Any]:
    """Its coroutines use the database in the thread that has called them, as in a view."""
    courier = DatabaseAsyncClientTaskCourier(USING)
    return lambda: async_to_sync(courier.add_task_to_queue)(Q, 1)


@pytest.mark.parametrize("make", [blocking, awaitable])
def test_a_forked_child_uses_no_connection_of_its_parents(make: Callable[[], Any]) -> None:
    # given a connection on which a task was added
    add = make()
    add()
    connection = connections[USING].connection
    assert connection is not None
    # when the process forks, then the child has none, and its parent keeps its own
    assert in_child(lambda: connections[USING].connection is None)
    assert connections[USING].connection is connection
    add()


def in_child(check: Callable[[], bool]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: what is tested
        child = os.fork()
    if child == 0:
        succeeded = False
        try:
            succeeded = check()
        finally:
            os._exit(not succeeded)
    return os.waitpid(child, 0)[1] == 0


def test_a_lock_that_another_thread_held_holds_no_child_up() -> None:
    courier = DatabaseClientTaskCourier(USING)
    courier.add_task_to_queue(Q, 1)
    with courier._store._clock._lock:  # type: ignore[attr-defined]
        assert in_child(lambda: adds_soon(courier))


def test_a_courier_whose_database_is_gone_keeps_no_other_from_its_restart(tmp_path: Path) -> None:
    # given one of an alias that there was, and one that uses its database
    with sqlite("gone", tmp_path / "gone", "delete"):
        gone = DatabaseClientTaskCourier("gone")
    courier = DatabaseClientTaskCourier(USING)
    ear = courier._perform.__self__._waiting._ear  # type: ignore[attr-defined]
    # then a child begins both anew, without a word
    assert in_child(
        lambda: (
            courier._perform.__self__._waiting._ear is not ear  # type: ignore[attr-defined]
            and bool(gone._perform.__self__._waiting.restart() is None)  # type: ignore[attr-defined]
        )
    )


def adds_soon(courier: DatabaseClientTaskCourier) -> bool:
    signal.alarm(5)  # ends a child that waits for ever
    courier.add_task_to_queue(Q, 2)
    return True
