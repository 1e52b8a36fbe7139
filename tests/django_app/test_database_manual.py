"""A caller who commits by hand (`set_autocommit(False)`) is in a transaction like any other."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest
from django.db import OperationalError, connections, transaction
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers.database import DatabaseClientWorkerTaskCourier
from django_task_helpers.models import Task
from task_helpers.tasks import TaskStatus
from tests.support.database_servers import DatabaseServer
from tests.support.databases import on_server
from tests.support.waiting import in_thread

Q = "q"
USING = "manual"


@pytest.fixture
def courier(
    postgres: DatabaseServer, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[DatabaseClientWorkerTaskCourier]:
    with django_db_blocker.unblock(), on_server(USING, postgres):
        courier = DatabaseClientWorkerTaskCourier(USING, retry_seconds=1)
        yield courier
        courier.close()


def lock_tasks(is_locked: Event, may_go: Event) -> None:
    try:
        with transaction.atomic(using=USING):
            list(Task._default_manager.using(USING).select_for_update())
            is_locked.set()
            may_go.wait(10)
    finally:
        connections[USING].close()


def test_what_fails_in_it_is_the_callers_error_and_undoes_nothing_in_silence(
    courier: DatabaseClientWorkerTaskCourier,
) -> None:
    # given a transaction that has added a task
    locked, is_locked, may_go = courier.add_task_to_queue(Q, 0), Event(), Event()
    other = in_thread(lock_tasks, is_locked, may_go)
    assert is_locked.wait(10)
    transaction.set_autocommit(False, using=USING)
    task_id = courier.add_task_to_queue(Q, 1)
    # when something else fails in it, once
    with connections[USING].cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '50ms'")
    with pytest.raises(OperationalError, match="lock timeout"):
        courier.cancel_task(Q, locked)
    may_go.set()
    other.result(10)
    # then the transaction goes on, and what it did before is there when it commits
    transaction.commit(using=USING)
    transaction.set_autocommit(True, using=USING)
    assert courier.get_task_status(Q, task_id) is TaskStatus.WAITING
