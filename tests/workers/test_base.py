"""`BaseWorker`: when it takes, when it stops, and what it makes of `perform_tasks`."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from task_helpers import exceptions
from task_helpers.couriers.memory import MemoryClientTaskCourier
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier, RedisWorkerTaskCourier
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.base_async import BaseAsyncWorker
from task_helpers.workers.classic import ClassicWorker
from task_helpers.workers.classic_async import ClassicAsyncWorker
from tests.support.servers import RedisServer, free_port
from tests.support.waiting import Stopwatch, in_thread, wait_until

Q = "work"
LIKELY = ["_batch", "_courier", "_crew", "_leases", "_name", "_results", "_run", "_stopping"]


class Echo(BaseWorker):
    queue_name = Q

    def perform_tasks(self, tasks: Any) -> Any:
        self.batches = [*getattr(self, "batches", []), len(tasks)]
        return tasks


def returning(answer: Any) -> type[BaseWorker]:
    """A worker whose `perform_tasks` returns answer(tasks)."""

    class Returning(BaseWorker):
        queue_name = Q
        burst = True

        def perform_tasks(self, tasks: Any) -> Any:
            return answer(tasks)

    return Returning


def ended(courier: Any, task_ids: Any) -> list[Any]:
    return courier.bulk_wait_for_task_results(Q, task_ids, timeout=0, return_exceptions=True)


# --- How long it works


def test_an_iteration_is_one_batch(courier: Any) -> None:
    # given 250 tasks
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(250))
    # when a worker does two iterations of at most 100
    worker = Echo(task_courier=courier)
    worker.perform(total_iterations=2)
    # then 200 have their results and the rest waits
    assert worker.batches == [100, 100]
    assert worker.tasks_performed == 200
    assert courier.bulk_wait_for_task_results(Q, task_ids[:200], timeout=0) == list(range(200))
    assert courier.get_queue_stats(Q).waiting == 50


def test_no_iteration_takes_nothing(courier: Any) -> None:
    courier.add_task_to_queue(Q, 1)
    Echo(courier).perform(total_iterations=0)
    assert courier.get_queue_stats(Q).waiting == 1


def test_an_idle_worker_waits_for_its_iterations(courier: Any) -> None:
    run = in_thread(Echo(courier).perform, 1)
    assert courier.call(Q, "data", timeout=5) == "data"
    run.result(5)


def test_burst_ends_with_the_queue(courier: Any) -> None:
    courier.bulk_add_tasks_to_queue(Q, range(25))
    worker, watch = Echo(courier, burst=True, max_tasks_per_iteration=10), Stopwatch()
    worker.perform()
    assert worker.batches == [10, 10, 5]
    assert watch.seconds < 0.5


def test_max_tasks_are_not_exceeded(courier: Any) -> None:
    courier.bulk_add_tasks_to_queue(Q, range(25))
    worker = Echo(courier, max_tasks=13, max_tasks_per_iteration=10)
    worker.perform()
    assert worker.batches == [10, 3]
    assert courier.get_queue_stats(Q).waiting == 12


def test_min_tasks_end_the_linger(courier: Any) -> None:
    courier.add_task_to_queue(Q, 1)
    worker = Echo(courier, linger=60, min_tasks=2)
    run = in_thread(worker.perform, 1)
    courier.add_task_to_queue(Q, 2)
    run.result(5)
    assert worker.batches == [2]


def test_a_batch_has_a_most_weight(courier: Any) -> None:
    courier.bulk_add_tasks_to_queue(Q, range(3), weight=4)
    courier.bulk_add_tasks_to_queue(Q, range(3))
    worker = Echo(courier, max_batch_weight=9, burst=True)
    worker.perform()
    assert worker.batches == [2, 4]


def test_auto_begins_with_one_task_and_doubles_what_may_be_in_a_batch(courier: Any) -> None:
    courier.bulk_add_tasks_to_queue(Q, range(40))
    worker = Echo(courier, linger="auto", target_latency=60, max_tasks_per_iteration=10)
    worker.perform(6)
    assert worker.batches == [1, 2, 4, 8, 10, 10]


def test_auto_takes_no_more_than_it_can_answer_in_time(courier: Any) -> None:
    # given many tasks that each take at least 20 ms
    class Slow(Echo):
        def perform_tasks(self, tasks: Any) -> Any:
            time.sleep(0.02 * len(tasks))
            return super().perform_tasks(tasks)

    courier.bulk_add_tasks_to_queue(Q, range(60))
    # when they are to be answered within 200 ms
    worker = Slow(courier, linger="auto", target_latency=0.2, burst=True)
    worker.perform(12)
    # then no batch takes longer than that
    assert max(worker.batches) <= 10


def test_stop_while_a_batch_fills_leaves_it_to_others(courier: Any) -> None:
    # given a worker that waits up to a minute for its batch to fill
    [task_id] = courier.bulk_add_tasks_to_queue(Q, [1])
    worker = Echo(courier, linger=60)
    run = in_thread(worker.perform)
    wait_until(lambda: courier.get_queue_stats(Q).workers)
    # when it is stopped
    watch = Stopwatch()
    worker.stop()
    run.result(5)
    # then it ends soon, and the task is there for the next worker
    assert watch.seconds < 1
    assert courier.get_tasks(Q) == [(task_id, 1)]


def test_linger_fills_the_batch(courier: Any) -> None:
    courier.add_task_to_queue(Q, 1)
    worker = Echo(courier, linger=0.3)
    run = in_thread(worker.perform, 1)
    courier.add_task_to_queue(Q, 2)
    run.result(5)
    assert worker.batches == [2]


def test_an_idle_worker_stops_within_a_second(courier: Any) -> None:
    # given a worker without work
    worker = Echo(courier)
    run = in_thread(worker.perform)
    wait_until(lambda: courier.get_queue_stats(Q).workers)
    # when it is told to stop, and again
    watch = Stopwatch()
    worker.stop()
    worker.stop()
    # then it leaves soon, and says so
    run.result(1)
    assert watch.seconds < 1
    assert courier.get_queue_stats(Q).workers == []


def test_a_busy_worker_stops_after_its_batch(courier: Any) -> None:
    began, go_on = threading.Event(), threading.Event()

    class Slow(Echo):
        max_tasks_per_iteration = 1

        def perform_tasks(self, tasks: Any) -> Any:
            began.set()
            go_on.wait(10)
            return tasks

    first, _ = courier.bulk_add_tasks_to_queue(Q, [1, 2])
    worker = Slow(courier)
    run = in_thread(worker.perform)
    began.wait(10)
    worker.stop()
    go_on.set()
    run.result(5)
    assert courier.get_task_result(Q, first) == 1
    assert courier.get_queue_stats(Q).waiting == 1


def test_setup_and_destroy_surround_the_work_however_it_ends(courier: Any) -> None:
    seen = []

    class Surrounded(Echo):
        def setup(self) -> None:
            seen.append("setup")

        def destroy(self) -> None:
            seen.append("destroy")

        def perform_tasks(self, tasks: Any) -> Any:
            seen.append("perform")
            raise KeyboardInterrupt

    courier.add_task_to_queue(Q, 1)
    with pytest.raises(KeyboardInterrupt):
        Surrounded(courier).perform(1)
    assert seen == ["setup", "perform", "destroy"]


# --- How it is set up


def test_class_fields_are_keywords_too(courier: Any) -> None:
    worker = Echo(
        courier, queue_name="other", max_tasks_per_iteration=7, needs_result_returning=False
    )
    assert (worker.queue_name, worker.max_tasks_per_iteration) == ("other", 7)
    assert worker.needs_result_returning is False
    assert (Echo.queue_name, Echo.max_tasks_per_iteration) == (Q, 100)


@pytest.mark.parametrize("name", ["perform", "perform_tasks", "setup", "stop"])
def test_a_keyword_that_would_shadow_a_method_is_a_type_error(courier: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} is a method of Echo: override it"):
        Echo(courier, **{name: lambda *_: None})


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"queue_name": ""}, "set queue_name of Untouched"),
        ({"queue_name": "a b"}, "is not a queue name"),
        ({"max_tasks_per_iteration": 0}, "from 1 to 1000"),
        ({"max_tasks_per_iteration": 1001}, "from 1 to 1000"),
        ({"linger": -1}, "linger must be between 0 and"),
        ({"max_batch_weight": 0}, "max_batch_weight must be a whole number above 0, not 0"),
        (
            {"linger": "often"},
            'linger must be a number of seconds, a timedelta or "auto", not',
        ),
        ({"linger": "auto"}, 'linger = "auto" needs a target_latency: how soon'),
        ({"linger": "auto", "target_latency": 0}, "target_latency must be above 0, not 0"),
        ({"target_latency": "soon"}, "target_latency must be a number of seconds or a timedelta"),
        ({"min_tasks": 0}, "min_tasks must be a whole number above 0, not 0"),
        ({"retry_on": ("ConnectionError",)}, "retry_on must be types of errors such as .*, not"),
        ({"retry_on": "OSError"}, "retry_on must be types of errors such as .*, not 'OSError'"),
        ({"retry_on": None}, "retry_on must be types of errors such as .*, not None"),
        ({"give_up_on": [OSError("away")]}, "give_up_on must be types of errors"),
        ({"give_up_on": (KeyboardInterrupt,)}, "give_up_on must be types of errors"),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_before_setup(courier: Any, fields: Any, complaint: str) -> None:
    class Untouched(Echo):
        def setup(self) -> None:
            raise AssertionError("setup was called")

    with pytest.raises(ValueError, match=complaint):
        Untouched(courier, **fields).perform(1)


@pytest.mark.parametrize("first", [True, False])
def test_a_private_name_of_the_loop_is_refused(courier: Any, first: bool) -> None:
    # given a class that defines, by chance, what the loop calls
    class Mixin:
        def _return(self, row: Any) -> Any:
            return row

    bases = (Mixin, Echo) if first else (Echo, Mixin)
    # when it is to work, then the error names the class and what to rename
    with pytest.raises(ValueError, match=r"rename _return of .*Mixin: workers use this name"):
        type("Named", bases, {})(courier).perform()


def test_private_names_of_ones_own_are_fine(courier: Any) -> None:
    class Own(Echo):
        _rows = ()
        __hidden = 1

        def _save(self) -> None: ...

    Own(courier, burst=True).perform()


@pytest.mark.parametrize("kind", [BaseWorker, BaseAsyncWorker, ClassicWorker, ClassicAsyncWorker])
def test_what_a_worker_keeps_for_itself_is_not_the_loops(courier: Any, kind: Any) -> None:
    # given a worker whose setup sets attributes under likely private names
    class Keeping(kind):  # type: ignore[misc]
        def setup(self) -> None:
            for name in LIKELY:
                setattr(self, name, name)

        def perform_single_task(self, task: Any) -> Any:
            return [getattr(self, name) for name in LIKELY]

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))
    # when it works, then it finds them as they were
    Keeping(courier, queue_name=Q, burst=True, threads=2).perform()
    assert ended(courier, task_ids) == [LIKELY] * 3


@pytest.mark.parametrize("where", ["setup", "__init__"])
def test_an_attribute_that_would_replace_a_part_of_the_loop_is_refused(
    courier: Any, where: str
) -> None:
    # given a worker that sets, by chance, what the loop calls
    def begin(self: Any, *arguments: Any, **fields: Any) -> None:
        getattr(super(Setting, self), where)(*arguments, **fields)
        self._return = "ticket"

    Setting: Any = type("Setting", (Echo,), {where: begin})
    # when it is to work, then the error names the class and what to rename
    with pytest.raises(ValueError, match="rename _return of Setting: workers use this name"):
        Setting(courier, burst=True).perform()


def test_the_one_attribute_of_the_loop_cannot_be_set(courier: Any) -> None:
    class Night(Echo):
        def setup(self) -> None:
            self._shift = "night"

    with pytest.raises(AttributeError, match="rename _shift of Night: workers use this name"):
        Night(courier, burst=True).perform()


@pytest.mark.parametrize("kind", [MemoryClientTaskCourier, object])
def test_a_courier_that_takes_no_tasks_is_a_type_error(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"a {kind.__name__} takes no tasks: give Echo a courier"):
        Echo(kind())


def test_a_store_that_is_away_at_the_start_is_one_line() -> None:
    courier = RedisWorkerTaskCourier(redis.Redis(port=free_port()), retry_seconds=0.1)
    with pytest.raises(exceptions.CourierUnavailable, match="is it running"):
        Echo(courier).perform(1)


def test_a_worker_says_that_the_store_is_away_and_that_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # given an idle worker whose Redis goes away
    with RedisServer(tmp_path) as server:
        courier = RedisClientWorkerTaskCourier(server.client(), retry_seconds=0.1)
        worker = Echo(courier)
        run = in_thread(worker.perform)
        wait_until(lambda: courier.get_queue_stats(Q).workers)
        server.kill()
        wait_until(lambda: "waits for the store to come back" in caplog.text, 20)
        # when it comes back, without a task in it
        server.start()
        # then the worker says so, once
        wait_until(lambda: "The store is back for process" in caplog.text, 20)
        worker.stop()
        run.result(5)
    assert caplog.text.count("The store is back") == 1


def test_perform_single_task_fails_one_task_alone(courier: Any) -> None:
    class Single(BaseWorker):
        queue_name, burst = Q, True

        def perform_single_task(self, task: Any) -> Any:
            if task[1] == 3:
                raise SystemExit(3)
            return 6 // task[1]

    task_ids = courier.bulk_add_tasks_to_queue(Q, [1, 0, 2, 3])
    Single(courier).perform()
    six, zero, three, left = ended(courier, task_ids)
    assert (six, three) == (6, 3)
    assert zero.exception_type == "ZeroDivisionError"
    assert "6 // task[1]" in zero.remote_traceback
    assert "3" in left.message


# --- What perform_tasks returned or raised


def test_raising_fails_the_batch_and_the_worker_goes_on(courier: Any) -> None:
    calls = []

    def answer(tasks: Any) -> Any:
        calls.append(len(tasks))
        if len(calls) == 1:
            raise LookupError("no such thing")
        return tasks

    bad = courier.bulk_add_tasks_to_queue(Q, range(2))
    good = courier.bulk_add_tasks_to_queue(Q, range(2))
    returning(answer)(courier, max_tasks_per_iteration=2).perform()
    for task_id, error in zip(bad, ended(courier, bad), strict=True):
        assert (error.task_id, error.exception_type) == (task_id, "LookupError")
        assert "no such thing" in error.remote_traceback
    assert ended(courier, good) == [0, 1]


def test_sys_exit_fails_the_batch_and_the_worker_lives(courier: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))

    def leave(tasks: Any) -> Any:
        raise SystemExit(3)

    returning(leave)(courier).perform()
    assert all("sys.exit(3)" in error.message for error in ended(courier, task_ids))


@pytest.mark.parametrize("error", [asyncio.CancelledError("cut"), GeneratorExit()], ids=repr)
def test_what_is_no_exception_fails_the_task_and_the_worker_lives(
    courier: Any, error: BaseException
) -> None:
    # given a task that raises something that `except Exception` does not catch, and another one
    class Raising(BaseWorker):
        queue_name, burst = Q, True

        def perform_single_task(self, task: Any) -> Any:
            if task[1]:
                raise error
            return "fine"

    task_ids = courier.bulk_add_tasks_to_queue(Q, [True, False])
    # when they are performed
    Raising(courier).perform()
    # then that one has failed by its name
    failed, fine = ended(courier, task_ids)
    assert type(error).__name__ in failed.message
    assert fine == "fine"


def test_ctrl_c_gives_the_batch_back_and_passes(courier: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))

    def interrupted(tasks: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        returning(interrupted)(courier).perform()
    stats = courier.get_queue_stats(Q)
    assert (stats.waiting, stats.running, stats.workers) == (3, 0, [])
    assert [task_id for task_id, _ in courier.get_tasks(Q)] == task_ids


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda tasks: None, "returned None: return"),
        (lambda tasks: [], "no result for this task"),
        (lambda tasks: tasks[1:], "no result for this task"),
        (lambda tasks: tasks.clear() or tasks, "no result for this task"),
        (lambda tasks: ["wrong", (1, 2, 3), None, *tasks[1:]], "no result for this task"),
        (lambda tasks: [(uuid4(), 0), (str(tasks[0][0]), 0)], "no result for this task"),
    ],
    ids=["None", "empty", "too few", "cleared", "wrong shapes", "unknown ids"],
)
def test_a_task_without_a_result_is_told_so(courier: Any, answer: Any, complaint: str) -> None:
    first, *_ = task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))
    returning(answer)(courier).perform()
    with pytest.raises(exceptions.TaskNotReturned, match=complaint) as caught:
        courier.get_task_result(Q, first)
    assert caught.value.task_id == first
    assert all(courier.check_for_done(Q, task_id) for task_id in task_ids[1:])


def test_what_is_returned_beyond_the_batch_is_logged_once_and_dropped(
    courier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = uuid4()
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))
    returning(lambda tasks: [(stranger, "?"), *tasks, "junk"])(courier).perform()
    assert ended(courier, task_ids) == [0, 1]
    [message] = caplog.messages
    assert f"of queue {Q} returned 2 items that are no task of the batch, such as" in message
    assert str(stranger) in message
    assert not courier.check_for_done(Q, stranger)


@pytest.mark.parametrize("answer", [lambda tasks: None, lambda tasks: tasks[3:]])
def test_missing_results_are_one_line_of_the_log(
    courier: Any, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    courier.bulk_add_tasks_to_queue(Q, range(3))
    returning(answer)(courier).perform()
    [message] = caplog.messages
    assert message.startswith("3 of 3 tasks in queue work got no result: return [(task_id,")


def test_a_batch_that_failed_is_logged_with_its_queue(
    courier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    returning(lambda tasks: 5)(courier).perform()
    assert caplog.messages == [
        f"Task {task_id} in queue work failed, attempt 1: TypeError: 'int' object is not iterable"
    ]


def test_the_first_of_two_results_counts_and_the_other_is_logged(
    courier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    [task_id] = courier.bulk_add_tasks_to_queue(Q, ["a"])
    returning(lambda tasks: [*tasks, (tasks[0][0], "b")])(courier).perform()
    assert ended(courier, [task_id]) == ["a"]
    assert "twice" in caplog.text


def test_a_result_that_cannot_be_sent_is_told_with_its_queue(
    courier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = courier.add_task_to_queue(Q, 1)
    returning(lambda tasks: [(tasks[0][0], object())])(courier).perform()
    [message] = caplog.messages
    assert message.startswith(f"The result of task {task_id} in queue work is not sent: ")


@pytest.mark.parametrize("answer", [lambda t: 5, lambda t: object()], ids=["5", "object"])
def test_what_is_no_list_fails_the_batch(courier: Any, answer: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))
    returning(answer)(courier).perform()
    assert all(isinstance(e, exceptions.PerformTaskError) for e in ended(courier, task_ids))


def test_any_iterable_of_pairs_will_do(courier: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))
    returning(lambda tasks: ([i, n + 1] for i, n in reversed(tasks)))(courier).perform()
    assert ended(courier, task_ids) == [1, 2, 3]


def test_an_exception_as_result_fails_its_task_alone(courier: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))
    returning(lambda tasks: [tasks[0], (tasks[1][0], KeyError("k"))])(courier).perform()
    good, bad = ended(courier, task_ids)
    assert (good, bad.exception_type) == (0, "KeyError")


# --- Without results


@pytest.mark.parametrize(
    "answer", [lambda tasks: None, lambda tasks: tasks, lambda tasks: tasks[:1]]
)
def test_results_nobody_needs_are_not_stored(courier: Any, answer: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))
    returning(answer)(courier, needs_result_returning=False).perform()
    assert not any(courier.check_for_done(Q, task_id) for task_id in task_ids)
    assert courier.get_queue_stats(Q)[:4] == (0, 0, 0, 0)


def test_without_results_an_error_is_still_told(courier: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))

    def broken(tasks: Any) -> Any:
        raise ValueError("broken")

    returning(broken)(courier, needs_result_returning=False).perform()
    assert all(error.message == "broken" for error in ended(courier, task_ids))


def thresholds(seen: list[Any], begun: Any = None, go: Any = None) -> type[BaseWorker]:
    """A worker of batches of 500 that notes how patient the garbage collector is."""

    def look(tasks: Any) -> Any:
        if begun:
            begun.set()
            assert go.wait(10)
        seen.append(gc.get_threshold())
        return tasks

    kind = returning(look)
    kind.max_tasks_per_iteration = 500
    return kind


@pytest.fixture
def collector_settings() -> Iterator[Any]:
    before = gc.get_threshold()
    yield gc.set_threshold
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("before", "inside"),
    [
        ((700, 10, 10), (10_000, 10, 10)),
        ((50_000, 5, 5), (50_000, 5, 5)),
        ((0, 10, 10), (0, 10, 10)),
    ],
)
def test_the_collector_leaves_a_batch_in_peace(
    courier: Any, collector_settings: Any, before: Any, inside: Any
) -> None:
    # given a process whose collector has settings of its own
    collector_settings(*before)
    # when a worker performs a batch
    courier.add_task_to_queue(Q, 1)
    seen: list[Any] = []
    thresholds(seen)(courier).perform(1)
    # then it does not run meanwhile, unless it is off, and the settings are back
    assert (seen, gc.get_threshold()) == ([inside], before)


def test_the_last_of_several_workers_gives_the_collector_its_settings_back(
    courier: Any, collector_settings: Any
) -> None:
    # given a worker that performs a batch
    collector_settings(700, 10, 10)
    courier.add_task_to_queue(Q, 1)
    seen: list[Any] = []
    begun, go = threading.Event(), threading.Event()
    first = in_thread(thresholds(seen, begun, go)(courier).perform, 1)
    assert begun.wait(10)
    # when another one begins and ends in the same process
    courier.add_task_to_queue(Q, 2)
    thresholds(seen)(courier).perform(1)
    # then the first one keeps what it has, until it ends
    assert gc.get_threshold()[0] == 10_000
    go.set()
    first.result(10)
    assert (seen, gc.get_threshold()[0]) == ([(10_000, 10, 10)] * 2, 700)


def test_settings_of_the_collector_that_a_project_makes_meanwhile_stay(
    courier: Any, collector_settings: Any
) -> None:
    collector_settings(700, 10, 10)
    courier.add_task_to_queue(Q, 1)
    returning(lambda tasks: gc.set_threshold(123, 4, 5) or tasks)(courier).perform(1)
    assert gc.get_threshold() == (123, 4, 5)


@pytest.mark.parametrize("as_pair", [list, iter, lambda pair: dict.fromkeys(pair).keys()])
def test_whatever_two_can_be_taken_out_of_is_a_pair(courier: Any, as_pair: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))
    returning(lambda tasks: [as_pair(task) for task in tasks])(courier).perform()
    assert ended(courier, task_ids) == [0, 1]
