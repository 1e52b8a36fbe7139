"""What a database is asked, and how it finds rows, also before it has counted them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers._database import ending
from django_task_helpers.couriers.database import DatabaseClientWorkerTaskCourier
from tests.support.databases import on_server, sqlite

USING, Q = "plans", "plans"
LINE = "task_helpers_task_line"
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}


class Question(NamedTuple):
    sql: str
    values: Any
    in_transaction: bool


@contextmanager
def questions() -> Iterator[list[Question]]:
    asked, connection = list[Question](), connections[USING]

    def note(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        asked.append(Question(sql, values, connection.in_atomic_block))
        return execute(sql, values, many, context)

    with connection.execute_wrapper(note):
        yield asked


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
    # when it ends, and somebody looks for the others
    with questions() as asked:
        courier.bulk_return_task_results(Q, taken)
        with pytest.raises(TimeoutError):
            courier.bulk_wait_for_task_results(Q, task_ids[100:200], timeout=0.01)
    # then nobody goes along the line
    plans = [plan_of(each) for each in asked if "_task " in f"{each.sql} "]
    assert plans
    assert not [plan for plan in plans if LINE in plan]


def kind_of(question: Question) -> str:
    return question.sql.split()[0]


def plan_of(question: Question) -> str:
    connection = connections[USING]
    with connection.cursor() as cursor:
        cursor.execute(f"{EXPLAIN[connection.vendor]} {question.sql}", question.values)
        return "\n".join(str(row) for row in cursor.fetchall())


@pytest.mark.parametrize("courier", ["postgres"], indirect=True)
@pytest.mark.parametrize("count", [1, 999])
def test_a_batch_costs_a_postgres_four_statements(
    courier: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a courier that knows the server's time, and nothing that expires
    monkeypatch.setattr(ending, "PRUNE_SECONDS", math.inf)
    courier.add_task_to_queue(Q, 0)
    courier.bulk_return_task_results(Q, courier.get_tasks(Q))
    # when tasks are added, taken and ended
    with questions() as asked:
        courier.bulk_add_tasks_to_queue(Q, range(count))
        taken = courier.get_tasks(Q, max_count=1_000)
        courier.bulk_return_task_results(Q, taken)
    # then each is one statement without a transaction around it, and one looks at the line before
    assert len(taken) == count
    assert [kind_of(each) for each in asked] == ["INSERT", "SELECT", "WITH", "WITH"]
    assert not any(each.in_transaction for each in asked)
