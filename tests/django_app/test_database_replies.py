"""Replies of a database that are lost: all was done, and nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers._database.asking import Query
from django_task_helpers.couriers.database import DatabaseClientWorkerTaskCourier
from django_task_helpers.models import SharedKey, Task
from tests.support.databases import sqlite

USING, Q = "replies", "replies"


@pytest.fixture
def courier(
    tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Any]:
    with django_db_blocker.unblock(), sqlite(USING, tmp_path / "file", "delete"):
        yield DatabaseClientWorkerTaskCourier(USING)


def lose_the_first_reply(courier: Any, meanwhile: Callable[[], Any]) -> None:
    perform = courier._perform

    def lost(effect: Any) -> Any:
        reply = perform(effect)
        if isinstance(effect, Query):
            courier._perform = perform
            meanwhile()
            raise OperationalError("database is locked")
        return reply

    def first_lost(effect: Any) -> Any:
        return lost(effect) if courier._perform is first_lost else perform(effect)

    courier._perform = first_lost


def test_a_task_with_a_key_that_has_ended_is_not_added_again(courier: Any) -> None:
    # given a client that is not told that its task was added, and a worker that performs it
    worker = DatabaseClientWorkerTaskCourier(USING)
    lose_the_first_reply(courier, lambda: worker.return_task_result(Q, *worker.get_task(Q)))
    # when the client asks again
    task_id = courier.add_task_to_queue(Q, "once", key="k")
    # then it is told of that task, which nobody performs again, and the key is free
    assert courier.get_task_result(Q, task_id) == "once"
    assert not Task._default_manager.using(USING).exists()
    assert not SharedKey._default_manager.using(USING).exists()


def test_a_task_with_a_key_that_waits_is_not_added_again(courier: Any) -> None:
    lose_the_first_reply(courier, lambda: None)
    courier.add_task_to_queue(Q, "once", key="k")
    assert [data for _, data in courier.get_tasks(Q, max_count=2)] == ["once"]
