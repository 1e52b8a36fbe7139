"""Transactions that lock each other out: one of them is asked again, and that is no outage."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any
from uuid import UUID

import pytest
from django.db import connections, transaction
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers._database.asking import Asking
from django_task_helpers.couriers._database.transport import Transport
from django_task_helpers.couriers._database.waiting import Waiting
from django_task_helpers.couriers.database import (
    DatabaseClientTaskCourier,
    DatabaseClientWorkerTaskCourier,
)
from django_task_helpers.models import Batch, Worker
from task_helpers.effects import run
from task_helpers.exceptions import CourierUnavailable
from tests.support.databases import database, on_server
from tests.support.waiting import in_thread

USING = "conflicts"


@pytest.fixture(params=["postgres", "mariadb"])
def rows(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Any]:
    """Two rows, a and b."""
    server = request.getfixturevalue(request.param)
    with django_db_blocker.unblock(), on_server(USING, server):
        rows = Worker._default_manager.using(USING)
        rows.bulk_create(Worker(queue="q", name=name, seen_at=0) for name in "ab")
        yield rows


def test_a_deadlock_is_asked_again_and_is_no_outage(rows: Any) -> None:
    # given two who lock the same two rows, each the other's first
    met = Barrier(2)
    asking = [Asking(USING, retry_seconds=10) for _ in range(2)]
    # when both have locked one and want the other
    asked = [
        in_thread(ask, asking[at], lambda order=order: add_one(rows, order, met))
        for at, order in enumerate(("ab", "ba"))
    ]
    # then both succeed
    for each in asked:
        each.result(30)
    assert list(rows.values_list("seen_at", flat=True)) == [2, 2]
    # and nobody takes the database for having been away
    assert [each.health.steady_for() for each in asking] == [math.inf, math.inf]


@pytest.fixture
def held(
    tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Path]:
    """A file with the tables, for whose lock nobody waits."""
    path = tmp_path / "held.sqlite3"
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {"timeout": 0}}
    with django_db_blocker.unblock(), database(USING, **file):
        yield path


def test_a_file_that_another_transaction_holds_is_said_to_be_held(held: Path) -> None:
    courier = DatabaseClientTaskCourier(USING, retry_seconds=0)
    # given a program that holds the file
    with closing(sqlite3.connect(held)) as other:
        other.execute("BEGIN EXCLUSIVE")
        # when a task is added
        with pytest.raises(CourierUnavailable) as caught:
            courier.add_task_to_queue("q", 1)
    # then nobody is asked whether the database runs
    assert str(caught.value) == (
        f"database '{USING}' is held by another transaction (database is locked): let that one end "
        "sooner, or raise the timeout of the database"
    )


def ask(asking: Asking, act: Callable[[], None]) -> None:
    try:
        run(asking.query(act), Transport(USING, Waiting(USING)).perform)
    finally:
        connections.close_all()


def add_one(rows: Any, order: str, met: Barrier) -> None:
    with transaction.atomic(using=USING):
        for name in order:
            row = rows.select_for_update().get(name=name)
            rows.filter(id=row.id).update(seen_at=row.seen_at + 1)
            meet(met)


def meet(met: Barrier) -> None:
    """The first time: who is asked again is alone."""
    with suppress(BrokenBarrierError):
        met.wait(0.5)


def test_a_worker_that_is_stopped_in_a_transaction_stops_no_other(rows: Any) -> None:
    # given a worker that is stopped while it has its batch locked, and whose lease runs out
    stopped, other = (DatabaseClientWorkerTaskCourier(USING) for _ in range(2))
    first, second = stopped.bulk_add_tasks_to_queue("q", [1, 2])
    assert stopped.get_tasks("q", 1) == [(first, 1)]
    batches = Batch._default_manager.using(USING)
    batches.update(lease_until=1)
    with transaction.atomic(using=USING):
        list(batches.select_for_update())
        # then another worker goes on with other tasks
        taken = in_thread(take, other).result(20)
        assert taken == [(second, 2)]
    # and takes the batch away when nobody has it locked
    assert take(other) == [(first, 1)]


def take(courier: DatabaseClientWorkerTaskCourier) -> list[tuple[UUID, Any]]:
    try:
        return courier.get_tasks("q", 1)
    finally:
        connections.close_all()
