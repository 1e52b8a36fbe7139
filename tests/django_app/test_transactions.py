"""What a call of `perform_tasks` that raised leaves behind in the databases."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connections

from django_task_helpers import courier
from django_task_helpers._databases import live_among_databases
from django_task_helpers.workers import build_worker
from shop.models import Product
from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.exceptions import PerformTaskError
from task_helpers.registry import Registry
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.base_async import BaseAsyncWorker
from task_helpers.workers.classic import ClassicWorker

Q = "rows"


class RowByRow(BaseWorker):
    """Saves a row per task, until one has no name."""

    queue_name = Q
    burst = True
    on_batch_error = "split"

    def perform_tasks(self, tasks: Any) -> Any:
        self.depths = [*getattr(self, "depths", []), self._depth()]
        for task_id, name in tasks:
            product = Product.objects.create(name=name, price=1)
            if not name:
                raise ValueError("no name")
            yield task_id, product.pk

    @staticmethod
    def _depth() -> int:
        connection = connections["default"]
        return len(connection.savepoint_ids) + connection.in_atomic_block


class OneByOne(BaseWorker):
    """Its errors are caught, and given as results, by BaseWorker."""

    queue_name = Q
    burst = True
    on_batch_error = "split"

    def perform_single_task(self, task: Any) -> Any:
        return Group.objects.create(name=task[1]).pk


class Hiding(OneByOne):
    """Catches what the database raised, and says nothing."""

    def perform_tasks(self, tasks: Any) -> Any:
        for _, name in tasks:
            with suppress(IntegrityError):
                Group.objects.create(name=name)
        return [(task_id, "saved") for task_id, _ in tasks]


class Careless(RowByRow):
    atomic = False


class Careful(RowByRow):
    on_batch_error = "fail"
    atomic = True


class Elsewhere(RowByRow):
    atomic = ("default", "replica")


@pytest.fixture
def rows(on_memory, monkeypatch: pytest.MonkeyPatch):
    """Performs tasks with a worker class; its worker, and how they ended."""

    def perform(kind: type[BaseWorker], names: list[str], **options: Any) -> Any:
        monkeypatch.setattr("django_task_helpers.workers.ClassicWorker", kind)
        on_memory({Q: {"OPTIONS": options}})
        task_ids = courier.bulk_add_tasks_to_queue(Q, names)
        worker = build_worker(Q)
        worker.perform()
        return worker, courier.bulk_wait_for_task_results(
            Q, task_ids, timeout=0, return_exceptions=True
        )

    return perform


def saved() -> list[str]:
    return list(Product.objects.order_by("pk").values_list("name", flat=True))


@pytest.mark.parametrize("transaction", [True, False], ids=["alone", "in a TestCase"])
@pytest.mark.parametrize("on_batch_error", ["split", "single"])
def test_a_run_that_raised_leaves_nothing_behind(
    request, rows, transaction: bool, on_batch_error: str
) -> None:
    # given a worker that saves rows before it raises
    request.getfixturevalue("transactional_db" if transaction else "db")
    # when a batch with a bad task is performed in parts
    names = ["a", "b", "", "c", "d"]
    _, results = rows(RowByRow, names, on_batch_error=on_batch_error)
    # then each good row is there once, with the id that its caller was given
    assert saved() == ["a", "b", "c", "d"]
    error = results.pop(2)
    assert error.message == "no name"
    assert results == list(Product.objects.order_by("pk").values_list("pk", flat=True))


@pytest.mark.django_db(transaction=True)
def test_each_run_is_a_transaction_of_its_own(rows) -> None:
    worker, _ = rows(RowByRow, ["a", ""])
    assert worker.depths == [1, 1, 1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", [Careless, RowByRow], ids=["by the class", "by the settings"])
def test_a_worker_may_have_no_transactions(rows, kind: Any) -> None:
    worker, _ = rows(kind, ["a", ""], atomic=False)
    assert worker.depths == [0, 0, 0]
    assert saved() == ["a", "", "a", ""]


@pytest.mark.django_db(transaction=True)
def test_a_worker_may_ask_for_a_transaction_where_nothing_is_repeated(rows) -> None:
    worker, results = rows(Careful, ["a", ""])
    assert (worker.depths, saved()) == ([1], [])
    assert [error.message for error in results] == ["no name", "no name"]


@pytest.mark.django_db(transaction=True)
def test_where_nothing_is_repeated_there_is_no_transaction(rows) -> None:
    worker, _ = rows(RowByRow, ["a", ""], on_batch_error="fail")
    assert (worker.depths, saved()) == ([0], ["a", ""])


@pytest.mark.parametrize("transaction", [True, False], ids=["alone", "in a TestCase"])
def test_an_error_that_was_caught_and_spoiled_the_transaction_is_found(
    request, rows, transaction: bool
) -> None:
    # given a name that is taken, and a worker whose tasks fail one by one
    request.getfixturevalue("transactional_db" if transaction else "db")
    Group.objects.create(name="taken")
    # when the error of one task has undone what the others of its call did
    _, (a, error, b) = rows(OneByOne, ["a", "taken", "b"])
    # then that call counts as failed, so that each caller is told the truth
    assert error.exception_type == "IntegrityError"
    assert dict(Group.objects.values_list("name", "pk")).items() >= {"a": a, "b": b}.items()


@pytest.mark.django_db(transaction=True)
def test_what_a_hidden_error_undid_is_not_told_as_a_success(rows) -> None:
    Group.objects.create(name="taken")
    _, (a, error, b) = rows(Hiding, ["a", "taken", "b"])
    assert (a, b) == ("saved", "saved")
    assert error.exception_type == "TransactionManagementError"
    assert "caught" in error.message
    assert set(Group.objects.values_list("name", flat=True)) == {"taken", "a", "b"}


def test_a_database_that_is_not_there_names_the_setting(rows) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        rows(Elsewhere, [])
    complaint = "atomic names 'replica', which is no database. known: default"
    assert str(caught.value).startswith(f'TASK_HELPERS["QUEUES"]["rows"]["OPTIONS"]: {complaint}')


@pytest.mark.django_db(transaction=True)
def test_a_project_without_databases_can_split(rows, monkeypatch: pytest.MonkeyPatch) -> None:
    # given that the default database says what Django's dummy says
    monkeypatch.setattr(connections["default"], "vendor", "unknown")
    # when a worker splits its batch, then it opens no transaction
    worker, _ = rows(RowByRow, ["a", ""])
    assert worker.depths == [0, 0, 0]


# --- Coroutines, which have none


class Coroutines(BaseAsyncWorker):
    queue_name = Q

    async def perform_tasks(self, tasks: Any) -> Any:
        return tasks


def test_coroutines_are_repeated_in_parts_only_when_that_is_said_to_be_harmless() -> None:
    worker = Coroutines(courier, on_batch_error="split")
    with pytest.raises(ValueError, match="set atomic = False where"):
        live_among_databases(worker)
    worker.atomic = False  # type: ignore[attr-defined]
    live_among_databases(worker)


@pytest.mark.django_db
def test_a_coroutine_function_of_an_atomic_worker_is_refused() -> None:
    # given an atomic worker of functions
    registry, on_memory = Registry(), MemoryClientWorkerTaskCourier()

    async def save() -> None:
        raise AssertionError("it must not begin")

    registry.register(save, "save")
    worker = ClassicWorker(on_memory, queue_name=Q, functions=registry, burst=True, atomic=True)
    live_among_databases(worker)
    # when a task asks for a coroutine function
    task_id = on_memory.add_task_to_queue(Q, {"function": "save"})
    worker.perform()
    # then that task alone fails, and it is said why
    with pytest.raises(PerformTaskError, match="has no transaction") as caught:
        on_memory.get_task_result(Q, task_id)
    assert caught.value.exception_type == "InvalidFunction"
