"""How a database finds rows, also before it has counted what is in its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers.database import DatabaseClientWorkerTaskCourier
from tests.support.databases import on_server, sqlite

USING, Q = "plans", "plans"
LINE = "task_helpers_task_line"
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}


@pytest.fixture(params=["sqlite", "postgres"])
def courier(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Any]:
    with django_db_blocker.unblock(), ExitStack() as stack:
        if request.param == "sqlite":
            stack.enter_context(sqlite(USING, tmp_path / "file", "wal"))
        else:
            stack.enter_context(on_server(USING, request.getfixturevalue("postgres")))
        courier = DatabaseClientWorkerTaskCourier(USING)
        yield courier
        courier.close()


def test_tasks_that_end_are_found_by_their_ids_however_many_wait(courier: Any) -> None:
    # given a batch of a long queue
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3_000))
    taken = courier.get_tasks(Q, max_count=100)
    asked = list[tuple[str, Any]]()

    def note(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        asked.append((sql, values))
        return execute(sql, values, many, context)

    # when it ends, and somebody looks for the others
    connection = connections[USING]
    with connection.execute_wrapper(note):
        courier.bulk_return_task_results(Q, taken)
        with pytest.raises(TimeoutError):
            courier.bulk_wait_for_task_results(Q, task_ids[100:200], timeout=0.01)
    # then nobody goes along the line
    plans = [plan_of(connection, *each) for each in asked if "_task " in f"{each[0]} "]
    assert plans
    assert not [plan for plan in plans if LINE in plan]


def plan_of(connection: Any, sql: str, values: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"{EXPLAIN[connection.vendor]} {sql}", values)
        return "\n".join(str(row) for row in cursor.fetchall())
