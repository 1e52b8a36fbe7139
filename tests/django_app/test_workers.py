"""The queues of a project, and workers among Django's database connections."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

from django_task_helpers import courier
from django_task_helpers.workers import UnknownQueue, build_worker, fresh_connections, known_queues
from shop.models import Product
from shop.workers import BulkSaveWorker
from task_helpers import task_function
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.classic import ClassicWorker


@task_function(name="tests.add")
def add(one: int, other: int) -> int:
    return one + other


def with_app(name: str) -> list[str]:
    return [*settings.INSTALLED_APPS, name]


def test_queues_come_from_the_settings_and_from_the_workers_of_apps(on_memory) -> None:
    # given a queue in the settings, and apps with worker classes
    on_memory({"reports": {}}, INSTALLED_APPS=with_app("factory"))
    # when the queues are listed
    queues = known_queues()
    # then each has the worker defined for it, else ClassicWorker; nameless classes have none
    assert list(queues) == ["bulk_data_saving", "gated", "gated_async", "once", "reports"]
    assert queues["bulk_data_saving"].worker_class is BulkSaveWorker
    assert queues["reports"].worker_class is ClassicWorker


def test_an_entry_without_a_worker_keeps_the_class_of_the_app(on_memory) -> None:
    on_memory({"bulk_data_saving": {"OPTIONS": {"max_tasks_per_iteration": 7}}})
    worker = build_worker("bulk_data_saving")
    assert isinstance(worker, BulkSaveWorker)
    assert worker.max_tasks_per_iteration == 7


def test_a_field_given_goes_before_the_settings(on_memory) -> None:
    on_memory({"reports": {"OPTIONS": {"max_tasks_per_iteration": 7, "linger": 1}}})
    worker = build_worker("reports", max_tasks_per_iteration=8)
    assert (worker.queue_name, worker.max_tasks_per_iteration, worker.linger) == ("reports", 8, 1)


def test_a_field_that_is_only_annotated_can_be_set(on_memory) -> None:
    options = {"OPTIONS": {"note": "hello"}}
    on_memory({"gated": options}, INSTALLED_APPS=with_app("factory"))
    assert vars(build_worker("gated"))["note"] == "hello"


def test_a_field_with_an_impossible_value_names_the_setting(on_memory) -> None:
    on_memory({"reports": {"OPTIONS": {"max_tasks_per_iteration": 5000}}})
    with pytest.raises(ImproperlyConfigured) as caught:
        build_worker("reports")
    assert str(caught.value).startswith(
        'TASK_HELPERS["QUEUES"]["reports"]["OPTIONS"]: '
        "max_tasks_per_iteration must be a whole number from 1 to 1000, not 5000"
    )


def test_a_worker_whose_constructor_takes_the_courier_only_can_be_run(
    on_memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(self: BulkSaveWorker, task_courier: Any) -> None:
        BaseWorker.__init__(self, task_courier)

    monkeypatch.setattr(BulkSaveWorker, "__init__", init)
    on_memory()
    assert build_worker("bulk_data_saving").queue_name == "bulk_data_saving"


def test_an_unknown_queue_lists_the_known_ones(on_memory) -> None:
    on_memory({"reports": {}})
    with pytest.raises(UnknownQueue, match="known: bulk_data_saving, reports") as caught:
        build_worker("report")
    assert "did you mean 'reports'?" in str(caught.value)


@pytest.mark.parametrize(
    ("queues", "told"),
    [
        ({}, "; nameless.workers.SaveNotes and nameless.workers.SaveDrafts have no queue_name"),
        (
            {"drafts": {"WORKER": "nameless.workers.SaveDrafts"}},
            "; nameless.workers.SaveNotes has no queue_name",
        ),
    ],
)
def test_an_unknown_queue_may_be_that_of_a_class_without_a_name(
    on_memory, queues: dict[str, Any], told: str
) -> None:
    # given classes without a queue, of which one is the base of others
    on_memory(queues, INSTALLED_APPS=with_app("nameless"))
    # when the queue of one is asked for, then those are named that the settings do not name
    with pytest.raises(UnknownQueue) as caught:
        build_worker("notes")
    assert str(caught.value).endswith(f"in an app's workers.py{told}")


def test_a_courier_for_clients_only_cannot_have_workers(configured) -> None:
    backend = "task_helpers.couriers.memory.MemoryClientTaskCourier"
    configured({"COURIERS": {"default": {"BACKEND": backend}}, "QUEUES": {"reports": {}}})
    with pytest.raises(ImproperlyConfigured, match="MemoryClientTaskCourier takes no tasks"):
        build_worker("reports")


def test_a_tasks_module_that_cannot_be_imported_says_why(on_memory) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        on_memory(INSTALLED_APPS=with_app("broken"))


@pytest.mark.django_db
def test_a_worker_performs_tasks_whose_functions_are_registered(on_memory) -> None:
    # given a queue with the default worker
    on_memory({"sums": {}})
    task_id = courier.add_task_to_queue("sums", {"function": add, "args": (1, 2)})
    # when its worker runs until there is none to take
    build_worker("sums", burst=True).perform()
    # then the function was called
    assert courier.wait_for_task_result("sums", task_id, timeout=0) == 3


# Database connections


class Watcher(BaseWorker):
    """Uses the database, and notes what it found in the log of queries."""

    queue_name = "watched"

    def perform_tasks(self, tasks: list[Any]) -> Any:
        self.queries_found = len(connection.queries_log)
        Product.objects.count()
        return tasks


def run_watcher(iterations: int = 1) -> Any:
    courier.bulk_add_tasks_to_queue("watched", range(iterations))
    worker: Any = build_worker("watched", max_tasks_per_iteration=1)
    worker.perform(total_iterations=iterations)
    return worker


@pytest.fixture
def watched(on_memory, monkeypatch: pytest.MonkeyPatch) -> None:
    on_memory({"watched": {}})
    monkeypatch.setattr("django_task_helpers.workers.ClassicWorker", Watcher)


@pytest.fixture
def closings(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A connection past its age. Its closing is noted only: the database is in its memory."""
    noted: list[str] = []
    own = connections[DEFAULT_DB_ALIAS]
    own.ensure_connection()
    monkeypatch.setattr(own, "close", lambda: noted.append("closed"))
    monkeypatch.setattr(own, "close_at", 0)
    return noted


def test_a_connection_past_its_age_is_closed_before_and_after_a_batch(watched, closings) -> None:
    run_watcher()
    assert closings == ["closed", "closed"]


def test_a_connection_is_closed_also_after_a_batch_that_raised(closings) -> None:
    @fresh_connections()
    def perform_tasks() -> None:
        closings.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        perform_tasks()
    assert closings == ["closed"]


def test_a_connection_inside_atomic_is_left_alone(watched, closings) -> None:
    with transaction.atomic():
        run_watcher()
    assert closings == []


@pytest.mark.django_db
def test_a_worker_can_be_run_inside_a_test_case(watched, django_assert_num_queries) -> None:
    # given rows that only this test's transaction can see
    Product.objects.create(name="tomato", price="1.00")
    # when a worker runs, then its queries are counted, and the transaction lives on
    with django_assert_num_queries(2):
        run_watcher(iterations=2)
    assert Product.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_logged_queries_do_not_pile_up(watched, settings) -> None:
    # given that Django keeps the queries of a process
    settings.DEBUG = True
    # when a worker has run several batches
    worker = run_watcher(iterations=3)
    # then each began with an empty log
    assert worker.queries_found == 0
    assert len(connection.queries_log) == 0


def test_a_worker_class_can_ask_for_fresh_connections_itself(on_memory, closings) -> None:
    # given a worker that is not made by build_worker
    class ByHand(Watcher):
        perform_tasks = fresh_connections()(Watcher.perform_tasks)

    on_memory()
    courier.add_task_to_queue("watched", 1)
    # when it runs
    ByHand(task_courier=courier).perform(total_iterations=1)
    # then its connections are kept as by the command
    assert closings == ["closed", "closed"]


@task_function(name="tests.products")
def count_products() -> int:
    count = Product.objects.count()
    note_connection()
    return count


@task_function(name="tests.async_products")
async def async_count_products() -> int:
    count = await Product.objects.acount()
    await sync_to_async(note_connection)()
    return count


def note_connection() -> None:
    """That of this thread. Its closing is noted only: the database is in its memory."""
    own = connections[DEFAULT_DB_ALIAS]
    if own not in used:
        used.append(own)
        own.close = lambda: closed.append(own)  # type: ignore[method-assign]
        own.close_at = None  # never too old


used: list[Any] = []
closed: list[Any] = []


@pytest.mark.django_db(transaction=True)
def test_threads_close_their_connections_when_they_end(on_memory) -> None:
    # given a worker that performs functions in threads of its own
    on_memory({"reports": {"OPTIONS": {"threads": 3}}})
    ids = courier.bulk_add_tasks_to_queue("reports", [{"function": count_products}] * 9)
    used.clear()
    closed.clear()
    # when it has ended
    build_worker("reports", burst=True).perform()
    # then they used connections of their own, which are closed
    assert courier.bulk_wait_for_task_results("reports", ids, timeout=0) == [0] * 9
    assert connection not in used
    assert 1 <= len(used) <= 3
    assert sorted(map(id, closed)) == sorted(map(id, used))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("threads", [1, 2])
def test_each_coroutine_has_database_connections_of_its_own(on_memory, threads: int) -> None:
    on_memory({"reports": {"OPTIONS": {"threads": threads}}})
    calls = [{"function": async_count_products}] * 4
    ids = courier.bulk_add_tasks_to_queue("reports", calls)
    used.clear()
    closed.clear()
    build_worker("reports", burst=True).perform()
    assert courier.bulk_wait_for_task_results("reports", ids, timeout=0) == [0] * 4
    assert connection not in used
    assert len(used) == 4
    assert sorted(map(id, closed)) == sorted(map(id, used))


@pytest.mark.django_db(transaction=True)
def test_plain_functions_beside_coroutines_have_fresh_connections(on_memory) -> None:
    # given functions that leave a connection past its age in their thread
    path = "task_helpers.workers.classic_async.ClassicAsyncWorker"
    on_memory({"reports": {"WORKER": path, "OPTIONS": {"max_concurrent_batches": 1}}})
    call = {"function": leave_an_old_connection}
    ids = courier.bulk_add_tasks_to_queue("reports", [call, call])
    closed.clear()
    # when they are called, one after the other, in the thread of such a worker
    build_worker("reports", burst=True).perform()
    # then the connection was closed after each of them
    assert courier.bulk_wait_for_task_results("reports", ids, timeout=0) == [0, 1]
    assert connection not in closed


@task_function(name="tests.old_connection")
def leave_an_old_connection() -> int:
    """How often it was closed before."""
    before = len(closed)
    Product.objects.exists()
    note_connection()
    connections[DEFAULT_DB_ALIAS].close_at = 0
    return min(before, 1)
