"""The connections of the threads that a worker has beside its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from pytest_django.plugin import DjangoDbBlocker

from config import environment
from django_task_helpers import courier
from task_helpers.testing import run_queue, running_worker
from task_helpers.workers.base import BaseWorker
from tests.support.database_servers import DatabaseServer
from tests.support.databases import database
from tests.support.waiting import wait_until

Q = "slow"
DATABASE = "django_task_helpers.couriers.database.DatabaseClientWorkerTaskCourier"


class Talking(BaseWorker):
    """Says three times how far it is, and is silent for so long that its writer has ended."""

    queue_name = Q
    most = 0
    count: Callable[[], int]

    def perform_single_task(self, task: Any) -> Any:
        for word in range(3):
            self.set_progress(task[0], word / 3)
            time.sleep(1)
            self.most = max(self.most, self.count())
        return "said"


@pytest.fixture
def count(
    postgres: DatabaseServer, configured: Any, django_db_blocker: DjangoDbBlocker
) -> Iterator[Callable[[], int]]:
    """How many connections the default courier's database has; renewals come soon."""
    options = {"using": "tasks", "lease": 1}
    configured({"COURIERS": {"default": {"BACKEND": DATABASE, "OPTIONS": options}}})
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with (
        postgres.database() as url,
        psycopg.connect(url, autocommit=True) as admin,
        django_db_blocker.unblock(),
        database("tasks", **environment.database(url)),
    ):
        yield lambda: admin.execute(query).fetchone()[0] - 1  # type: ignore[index]


def test_threads_that_end_leave_no_connection(count: Callable[[], int]) -> None:
    # given this thread's connection
    courier.add_task_to_queue(Q, 1)
    assert count() == 1
    # when a worker renews its lease, and writes progress by one thread after another
    worker = Talking(courier, count=count)
    run_queue(courier, worker)
    # then there were never more than those of the worker, the lease and one writer
    assert worker.most <= 3
    # and none is left but the first
    wait_until(lambda: count() == 1)


def test_a_worker_beside_the_test_leaves_none(count: Callable[[], int]) -> None:
    with running_worker(courier, Talking):
        wait_until(lambda: courier.get_queue_stats(Q).workers)
    wait_until(lambda: count() == 1)
