"""Transactions that lock each other out: one of them is asked again, and that is no outage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from django.db import connections, transaction
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers._database.asking import Asking
from django_task_helpers.couriers._database.transport import Transport
from django_task_helpers.couriers._database.waiting import Waiting
from django_task_helpers.models import Worker
from task_helpers.effects import run
from tests.support.databases import on_server
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


def ask(asking: Asking, act: Callable[[], None]) -> None:
    try:
        run(asking.query(act), Transport(USING, Waiting()).perform)
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
