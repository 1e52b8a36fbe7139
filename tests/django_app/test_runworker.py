"""`manage.py runworker` and `runtaskworker`: arguments, errors, and what it says."""

from __future__ import annotations

import io
import logging
import signal
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from django_task_helpers import courier, couriers
from django_task_helpers.management.commands.runworker import Command
from shop.workers import BulkSaveWorker
from task_helpers import task_function
from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.exceptions import CourierUnavailable
from task_helpers.workers.classic import ClassicWorker
from tests.support.waiting import in_thread

REDIS = "task_helpers.couriers.redis.RedisClientWorkerTaskCourier"
MEMORY = "task_helpers.couriers.memory.MemoryClientWorkerTaskCourier"

pytestmark = pytest.mark.django_db


@task_function(name="tests.double")
def double(number: int) -> int:
    return 2 * number


@task_function(name="tests.terminate")
def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def _quiet_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that does not log these lines: they go to stdout."""
    monkeypatch.setattr(logging.getLogger("django_task_helpers"), "level", logging.WARNING)


def run(*arguments: Any, **options: Any) -> str:
    """What the command printed."""
    stdout = io.StringIO()
    call_command("runworker", *arguments, stdout=stdout, skip_checks=False, **options)
    return stdout.getvalue()


def add(*numbers: int) -> list[Any]:
    tasks_data = [{"function": double, "args": (number,)} for number in numbers]
    return courier.bulk_add_tasks_to_queue("sums", tasks_data)


def test_burst_performs_what_waits_and_ends(on_memory) -> None:
    # given three tasks
    on_memory({"sums": {"OPTIONS": {"max_tasks_per_iteration": 2}}})
    task_ids = add(1, 2, 3)
    # when a worker runs until there is none to take
    printed = run("sums", burst=True)
    # then all have their result, and the lines say what was done
    assert courier.bulk_wait_for_task_results("sums", task_ids, timeout=0) == [2, 4, 6]
    start, stop = printed.splitlines()
    assert "ClassicWorker on queue sums starts: courier default, up to 2 tasks a batch" in start
    assert "on queue sums stopped (no task to take now): 3 tasks in 2 batches" in stop


def test_burst_says_what_it_leaves_for_later(on_memory) -> None:
    # given a task that is due now, one that is due later, and one that fails and has another try
    on_memory({"sums": {"OPTIONS": {"max_attempts": 2, "retry_delay": 60}}})
    add(1)
    courier.add_task_to_queue("sums", {"function": double}, delay=60)
    courier.add_task_to_queue("sums", {"function": double})
    # when a worker runs until there is none to take
    stop = run("sums", burst=True).splitlines()[-1]
    # then it did not wait for those, and says so
    assert "stopped (no task to take now, 2 tasks due later): 2 tasks in 2 batches" in stop
    assert courier.get_queue_stats("sums").delayed == 2


def test_a_store_that_was_lost_meanwhile_says_nothing_of_later(on_memory, monkeypatch) -> None:
    on_memory({"sums": {}})
    add(1)

    def lost(*arguments: Any, **options: Any) -> None:
        raise CourierUnavailable("away")

    monkeypatch.setattr(MemoryClientWorkerTaskCourier, "get_queue_stats", lost)
    assert "stopped (no task to take now): 1 task" in run("sums", burst=True)


@pytest.mark.parametrize(
    ("worker", "options", "capacity"),
    [
        ("classic.ClassicWorker", {}, "1 task a batch"),
        ("classic.ClassicWorker", {"threads": 3}, "3 tasks at the same time"),
        ("classic_async.ClassicAsyncWorker", {}, "100 tasks at the same time"),
        ("classic_async.ClassicAsyncWorker", {"max_concurrent_batches": 1}, "1 task a batch"),
        (
            "classic_async.ClassicAsyncWorker",
            {"max_tasks_per_iteration": 20, "max_concurrent_batches": 5},
            "20 tasks a batch, 5 batches at the same time",
        ),
    ],
)
def test_it_says_how_much_it_performs_at_a_time(
    on_memory, worker: str, options: dict[str, Any], capacity: str
) -> None:
    on_memory({"sums": {"WORKER": f"task_helpers.workers.{worker}", "OPTIONS": options}})
    assert f", up to {capacity}, pid" in run("sums", burst=True).splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "performed", "cause"),
    [
        (["--iterations", "2"], 2, "all iterations are done"),
        (["--max-tasks", "3"], 3, "max_tasks are done"),
        (["--iterations", "2", "--batch-size", "2"], 4, "all iterations are done"),
        (["--max-tasks", "3", "--batch-size", "2"], 3, "max_tasks are done"),
        (["--burst", "--max-tasks", "9", "--iterations", "9"], 5, "no task to take now"),
        (["--burst", "--linger", "0.001", "--batch-size", "9"], 5, "no task to take now"),
        (
            ["--iterations", "1", "--linger", "60", "--batch-size", "9", "--min-tasks", "5"],
            5,
            "all iterations are done",
        ),
    ],
)
def test_it_ends_when_told(on_memory, arguments: list[str], performed: int, cause: str) -> None:
    # given five tasks, taken one by one unless the command says otherwise
    on_memory({"sums": {}})
    add(1, 2, 3, 4, 5)
    # when a worker is to do a part of them
    stop = run("sums", *arguments).splitlines()[-1]
    # then it does that part and says why it stopped
    assert f"({cause}): {performed} tasks" in stop
    assert courier.get_queue_stats("sums").waiting == 5 - performed


def test_a_signal_lets_it_finish_the_batch_and_the_former_handlers_return(on_memory) -> None:
    # given a task during which the process is asked to end, and one more
    on_memory({"sums": {}})
    task_id = courier.add_task_to_queue("sums", {"function": terminate})
    add(1)
    former = signal.getsignal(signal.SIGTERM)
    # when the worker runs
    stop = run("sums").splitlines()[-1]
    # then the first has its result, the other still waits
    assert "stopped (SIGTERM): 1 task in 1 batch," in stop
    assert courier.wait_for_task_result("sums", task_id, timeout=0) is None
    assert courier.get_queue_stats("sums").waiting == 1
    assert signal.getsignal(signal.SIGTERM) is former


def test_what_went_wrong_after_a_signal_is_named_beside_it(on_memory, monkeypatch) -> None:
    # given a worker that is told to end, and then cannot return its results
    def lose(self, tasks) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(ClassicWorker, "return_task_results", lose)
    on_memory({"sums": {}})
    courier.add_task_to_queue("sums", {"function": terminate})
    stdout = io.StringIO()
    # when it ends, then the line has both
    with pytest.raises(ConnectionError):
        call_command("runworker", "sums", burst=True, stdout=stdout)
    assert "stopped (SIGTERM, then ConnectionError): 0 tasks" in stdout.getvalue()


def test_it_runs_in_a_thread_where_no_signal_can_be_handled(on_memory) -> None:
    on_memory({"sums": {}})
    [task_id] = add(1)
    in_thread(run, "sums", iterations=1).result(timeout=10)
    assert courier.wait_for_task_result("sums", task_id, timeout=0) == 2


def test_an_error_in_the_worker_is_not_hidden(on_memory, monkeypatch) -> None:
    # given a worker that cannot be set up
    def setup(self) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(BulkSaveWorker, "setup", setup)
    on_memory()
    stdout = io.StringIO()
    # when it is run, then the error comes out, and the stop line names it
    with pytest.raises(ZeroDivisionError):
        call_command("runworker", "bulk_data_saving", stdout=stdout)
    assert "bulk_data_saving stopped (ZeroDivisionError): 0 tasks" in stdout.getvalue()


def test_another_courier_can_be_chosen(configured) -> None:
    # given tasks on a courier that is not the queue's own
    both = {"default": {"BACKEND": MEMORY}, "other": {"BACKEND": MEMORY}}
    configured({"COURIERS": both, "QUEUES": {"sums": {}}})
    task_id = couriers["other"].add_task_to_queue("sums", {"function": double, "args": (1,)})
    # when it is named
    start = run("sums", burst=True, courier="other").splitlines()[0]
    # then its tasks are performed
    assert "courier other" in start
    assert couriers["other"].wait_for_task_result("sums", task_id, timeout=0) == 2


def test_the_queue_may_stand_behind_the_options(on_memory) -> None:
    on_memory({"sums": {}})
    assert "on queue sums starts" in run("--burst", "--max-tasks", "1", "sums")


def test_nothing_is_printed_at_verbosity_0(on_memory) -> None:
    on_memory({"sums": {}})
    assert run("sums", burst=True, verbosity=0) == ""


def test_a_project_that_logs_the_lines_gets_them_there_only(
    on_memory, caplog: pytest.LogCaptureFixture
) -> None:
    on_memory({"sums": {}})
    with caplog.at_level(logging.INFO, logger="django_task_helpers.worker"):
        printed = run("sums", burst=True)
    assert printed == ""
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Worker task_helpers.workers.classic.ClassicWorker on queue sums starts",
        "Worker task_helpers.workers.classic.ClassicWorker on queue sums stopped (no task to "
        "take now)",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["sum"], "there is no queue 'sum': did you mean 'sums'? known: bulk_data_saving, sums, w"),
        ([], "name a queue; known: bulk_data_saving, sums, waits"),
        (["--burst"], "name a queue; known: bulk_data_saving, sums, waits"),
        (["sums", "--courier", "x"], "there is no courier 'x': known: default"),
        (["sums", "--batch-size", "1001"], "'1001' is not a whole number from 1 to 1000"),
        (["sums", "--iterations", "0"], "'0' is not a whole number above 0"),
        (["sums", "--max-tasks", "x"], "'x' is not a whole number above 0"),
        (["sums", "--linger", "-1"], "'-1' is not a number of seconds from 0"),
        (["sums", "--linger", "auto"], "--linger auto needs --target-latency SECONDS, or"),
        (
            ["sums", "--linger", "auto", "--target-latency", "1", "--threads", "3"],
            "queue sums with linger='auto', threads=3: linger = \"auto\" is for batches: not with",
        ),
        (
            ["waits", "--threads", "3"],
            "ClassicAsyncWorker has no threads: it awaits. Set max_con",
        ),
        (["bulk_data_saving", "--threads", "3"], "BulkSaveWorker has no threads"),
        (["sums", "--linger", "nan"], "'nan' is not a number of seconds from 0"),
        (["sums", "--reload", "--burst"], "--reload and --burst exclude each other"),
        (["sums", "--reload", "--iterations", "1"], "--reload and --iterations exclude each other"),
        (["sums", "--reload", "--max-tasks", "1"], "--reload and --max-tasks exclude each other"),
        (["sums", "--reload", "--max-rss", "99"], "--reload and --max-rss exclude each other"),
        (["sums", "--reload"], "--reload is for development: set DEBUG = True"),
    ],
)
def test_a_wrong_argument_is_one_line(on_memory, arguments: list[str], text: str) -> None:
    waits = {"WORKER": "task_helpers.workers.classic_async.ClassicAsyncWorker"}
    on_memory({"sums": {}, "waits": waits})
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_auto_may_have_its_target_from_the_settings(on_memory) -> None:
    on_memory({"sums": {"OPTIONS": {"target_latency": 1}}})
    assert "starts" in run("sums", "--burst", "--linger", "auto")


def test_a_wrong_field_in_the_settings_is_one_line(on_memory) -> None:
    on_memory({"sums": {"OPTIONS": {"linger": -1}}})
    with pytest.raises(CommandError, match=r'\["sums"\]\["OPTIONS"\]: linger must be'):
        run("sums")


def test_a_redis_that_is_away_is_one_line(configured) -> None:
    away = {"BACKEND": REDIS, "LOCATION": "redis://127.0.0.1:1/0", "OPTIONS": {"retry_seconds": 0}}
    configured({"COURIERS": {"default": away}, "QUEUES": {"sums": {}}})
    with pytest.raises(CommandError) as caught:
        run("sums")
    assert str(caught.value).startswith("Redis at 127.0.0.1:1 cannot be reached")
    assert "\n" not in str(caught.value)


def test_the_command_has_a_second_name() -> None:
    assert get_commands()["runtaskworker"] == "django_task_helpers"
    assert type(load_command_class("django_task_helpers", "runtaskworker")) is Command
