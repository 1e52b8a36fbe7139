"""When a task is taken: order, priorities, delays, deadlines; where it is; taking it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import uuid4

import pytest

from task_helpers import exceptions
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Stand
from tests.support.waiting import Stopwatch, in_thread


def taken(worker: Any, queue: str, max_count: int = 100) -> list[Any]:
    return [data for _, data in worker.get_tasks(queue, max_count)]


# --- Taking


def test_get_task_takes_one_or_says_that_there_is_none(
    client: Any, worker: Any, queue: str
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, ["a", "b"])
    assert worker.get_task(queue) == (task_ids[0], "a")
    assert worker.get_task(queue) == (task_ids[1], "b")
    with pytest.raises(exceptions.TaskDoesNotExist, match=queue):
        worker.get_task(queue)


def test_get_tasks_takes_up_to_max_count(client: Any, worker: Any, queue: str) -> None:
    client.bulk_add_tasks_to_queue(queue, range(150))
    assert taken(worker, queue, 20) == list(range(20))
    assert len(worker.get_tasks(queue)) == 100
    assert len(worker.get_tasks(queue)) == 30
    assert worker.get_tasks(queue) == []


def test_tasks_go_to_one_worker_each(stand: Stand, client: Any, queue: str) -> None:
    client.bulk_add_tasks_to_queue(queue, range(10))
    first, second = stand.worker(), stand.worker()
    assert taken(first, queue, 4) + taken(second, queue) == list(range(10))


def test_queues_whose_names_differ_in_the_case_of_a_letter_are_two(
    client: Any, worker: Any, queue: str
) -> None:
    client.add_task_to_queue(queue, 1)
    assert taken(worker, queue.upper()) == []
    assert client.get_queue_stats(queue.upper()).waiting == 0
    assert taken(worker, queue) == [1]


@pytest.mark.parametrize("max_count", [0, -1, 1.5, "1"])
def test_a_max_count_that_cannot_be_is_a_value_error(
    worker: Any, queue: str, max_count: Any
) -> None:
    with pytest.raises(ValueError, match="max_count must be"):
        worker.get_tasks(queue, max_count)
    with pytest.raises(ValueError, match="max_count must be"):
        worker.bulk_wait_for_tasks(queue, max_count)


@pytest.mark.parametrize("one", ["text", b"bytes", {"name": "tomato"}], ids=repr)
def test_the_data_of_one_task_is_not_taken_for_many(client: Any, queue: str, one: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(one).__name__}: .*add_task_to_queue"):
        client.bulk_add_tasks_to_queue(queue, one)
    assert client.get_queue_stats(queue).waiting == 0


# --- Waiting for tasks


@pytest.mark.parametrize("timeout", [5, None, timedelta(seconds=5)], ids=str)
def test_an_idle_worker_gets_a_task_when_it_is_added(
    client: Any, worker: Any, queue: str, timeout: Any
) -> None:
    # given a worker that has begun to wait
    waiter = in_thread(worker.wait_for_task, queue, timeout)
    # when a task is added
    task_id = client.add_task_to_queue(queue, "data")
    # then the worker has it
    assert waiter.result(5) == (task_id, "data")


def test_every_idle_worker_gets_something_to_do(stand: Stand, client: Any, queue: str) -> None:
    waiters = [in_thread(stand.worker().wait_for_task, queue, 5) for _ in range(4)]
    client.bulk_add_tasks_to_queue(queue, range(4))
    assert sorted(waiter.result(6)[1] for waiter in waiters) == [0, 1, 2, 3]


@pytest.mark.parametrize("timeout", [0, 0.05, timedelta(milliseconds=50)], ids=str)
def test_waiting_for_tasks_ends_with_the_time(worker: Any, queue: str, timeout: Any) -> None:
    for wait in (
        lambda: worker.wait_for_task(queue, timeout=timeout),
        lambda: worker.bulk_wait_for_tasks(queue, 5, timeout=timeout),
    ):
        watch = Stopwatch()
        with pytest.raises(TimeoutError, match=f"no task came to queue {queue}"):
            wait()
        assert watch.seconds < 1


def test_a_bulk_wait_takes_what_is_there_at_once(client: Any, worker: Any, queue: str) -> None:
    client.bulk_add_tasks_to_queue(queue, range(3))
    assert [data for _, data in worker.bulk_wait_for_tasks(queue, 2)] == [0, 1]
    assert [data for _, data in worker.bulk_wait_for_tasks(queue, 2, timeout=0)] == [2]


def test_a_bulk_wait_takes_at_most_1000(client: Any, worker: Any, queue: str) -> None:
    client.bulk_add_tasks_to_queue(queue, range(1200))
    assert len(worker.bulk_wait_for_tasks(queue, 5000)) == 1000


def test_linger_lets_a_batch_fill_and_ends_with_its_time(
    client: Any, worker: Any, queue: str
) -> None:
    # given a worker that got a first task and lingers
    watch = Stopwatch()
    client.add_task_to_queue(queue, 1)
    waiter = in_thread(worker.bulk_wait_for_tasks, queue, 10, 5, linger=0.7)
    # when more are added, but not enough
    client.bulk_add_tasks_to_queue(queue, [2, 3])
    # then they are in the same batch, which is taken when the time is up
    assert [data for _, data in waiter.result(5)] == [1, 2, 3]
    assert watch.seconds > 0.65


def test_linger_ends_when_the_batch_is_full(client: Any, worker: Any, queue: str) -> None:
    # given a worker that lingers for a minute
    client.add_task_to_queue(queue, 1)
    waiter = in_thread(worker.bulk_wait_for_tasks, queue, 3, None, linger=60)
    # when the batch is full
    client.bulk_add_tasks_to_queue(queue, [2, 3])
    # then it is taken
    assert [data for _, data in waiter.result(5)] == [1, 2, 3]


def test_linger_counts_from_when_the_oldest_task_was_added(
    stand: Any, client: Any, worker: Any, queue: str
) -> None:
    # given a task that has waited for longer than a worker would linger, and a new one
    client.add_task_to_queue(queue, 1)
    stand.pass_time(0.6)
    client.add_task_to_queue(queue, 2, priority=5)
    # when a worker comes
    watch = Stopwatch()
    tasks = worker.bulk_wait_for_tasks(queue, 10, linger=0.6)
    # then it does not linger
    assert [data for _, data in tasks] == [2, 1]
    assert watch.seconds < 0.5


@pytest.mark.parametrize("min_tasks", [2, 1_000])
def test_min_tasks_are_enough(client: Any, worker: Any, queue: str, min_tasks: int) -> None:
    client.add_task_to_queue(queue, 1)
    options = {"linger": 60, "min_tasks": min_tasks}
    waiter = in_thread(worker.bulk_wait_for_tasks, queue, 3, None, **options)
    client.bulk_add_tasks_to_queue(queue, range(min(min_tasks, 3) - 1))
    assert len(waiter.result(5)) == min(min_tasks, 3)


@pytest.mark.parametrize("min_tasks", [0, -1, 1.5, "2"])
def test_min_tasks_that_make_no_sense(worker: Any, queue: str, min_tasks: Any) -> None:
    with pytest.raises(ValueError, match="min_tasks must be a whole number above 0, not "):
        worker.bulk_wait_for_tasks(queue, 3, 0, min_tasks=min_tasks)


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_wait_can_be_stopped_and_leaves_the_tasks_to_others(
    client: Any, worker: Any, queue: str, waiting: int
) -> None:
    # given a worker that waits for tasks, or for a batch to fill
    task_ids = client.bulk_add_tasks_to_queue(queue, range(waiting))
    asked, stopped = Event(), Event()

    def stopping() -> bool:
        asked.set()
        return stopped.is_set()

    waiter = in_thread(worker.bulk_wait_for_tasks, queue, 3, linger=60, stopping=stopping)
    asked.wait(5)
    # when it is stopped
    stopped.set()
    # then it ends and took nothing
    with pytest.raises(TimeoutError, match=f"of queue {queue} was stopped"):
        waiter.result(5)
    assert [task_id for task_id, _ in worker.get_tasks(queue)] == task_ids


def test_linger_does_not_hold_up_a_full_batch_and_waits_for_a_first_task(
    client: Any, worker: Any, queue: str
) -> None:
    watch = Stopwatch()
    client.bulk_add_tasks_to_queue(queue, range(3))
    assert len(worker.bulk_wait_for_tasks(queue, 3, linger=60)) == 3
    waiter = in_thread(worker.bulk_wait_for_tasks, queue, 3, None, linger=timedelta(minutes=1))
    client.bulk_add_tasks_to_queue(queue, range(3))
    assert len(waiter.result(5)) == 3
    with pytest.raises(TimeoutError):
        worker.bulk_wait_for_tasks(queue, 3, timeout=0.01, linger=60)
    assert watch.seconds < 5


# --- Priorities and time


def test_higher_priorities_go_first_and_equal_ones_in_order(
    client: Any, worker: Any, queue: str
) -> None:
    for priority in (0, -100, 5, 0, 100, 5, -1):
        client.bulk_add_tasks_to_queue(queue, [(priority, 1), (priority, 2)], priority=priority)
    expected = [(100, 1), (100, 2), *[(5, 1), (5, 2)] * 2, *[(0, 1), (0, 2)] * 2]
    expected += [(-1, 1), (-1, 2), (-100, 1), (-100, 2)]
    assert taken(worker, queue) == expected


def test_a_delayed_task_waits_for_its_time(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given delayed tasks of two priorities and one to be done now
    late = client.add_task_to_queue(queue, "delay", delay=3600)
    client.add_task_to_queue(queue, "run_at", run_at=datetime.now(UTC) + timedelta(hours=2))
    client.add_task_to_queue(queue, "urgent", delay=timedelta(hours=3), priority=9)
    client.add_task_to_queue(queue, "now")
    # when a worker takes what there is
    assert taken(worker, queue) == ["now"]
    assert client.get_task_status(queue, late) == TaskStatus.DELAYED
    assert client.get_queue_stats(queue).delayed == 3
    # then the others come when they are due, the urgent one first
    stand.pass_delays(queue)
    assert taken(worker, queue)[0] == "urgent"


def test_an_idle_worker_wakes_when_a_delayed_task_is_due(
    client: Any, worker: Any, queue: str
) -> None:
    waiter, watch = in_thread(worker.wait_for_task, queue, 10), Stopwatch()
    client.add_task_to_queue(queue, "later", delay=0.2)
    assert waiter.result(5)[1] == "later"
    assert 0.19 < watch.seconds < 0.9


def test_a_time_in_the_past_is_now(client: Any, worker: Any, queue: str) -> None:
    client.add_task_to_queue(queue, 1, run_at=datetime(2001, 1, 1, tzinfo=UTC))
    client.add_task_to_queue(queue, 2, delay=0)
    assert sorted(taken(worker, queue)) == [1, 2]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"priority": 101}, "priority must be"),
        ({"priority": -101}, "priority must be"),
        ({"priority": 1.0}, "priority must be"),
        ({"delay": -1}, "delay must be"),
        ({"run_at": datetime(2026, 1, 1)}, "with a time zone"),
        ({"run_at": 5}, "with a time zone"),
        ({"expires": -1}, "expires must be"),
        ({"delay": 1, "run_at": datetime.now(UTC)}, "not both"),
    ],
    ids=str,
)
def test_options_that_cannot_be_add_nothing(
    stand: Stand, client: Any, queue: str, options: Any, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        client.add_task_to_queue(queue, 1, **options)
    with pytest.raises(ValueError, match=complaint):
        client.bulk_add_tasks_to_queue(queue, [1], **options)
    assert stand.leftovers(queue) == []


@pytest.mark.parametrize("name", ["delay", "run_at", "expires"])
def test_a_call_says_which_options_are_of_a_task_that_is_added(
    client: Any, queue: str, name: str
) -> None:
    with pytest.raises(TypeError, match=rf"call takes no {name}: .* add_task_to_queue") as caught:
        client.call(queue, 1, timeout=1, **{name: 1})
    assert "\n" not in str(caught.value)
    assert client.get_queue_stats(queue).waiting == 0


def test_an_unknown_option_is_a_type_error(client: Any, queue: str) -> None:
    with pytest.raises(TypeError, match="prioritet"):
        client.add_task_to_queue(queue, 1, prioritet=1)


def test_a_task_not_taken_before_its_deadline_expires(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a task that soon nobody wants, and others
    expired = client.add_task_to_queue(queue, 1, expires=timedelta(milliseconds=1))
    client.add_task_to_queue(queue, 2, expires=3600)
    stand.pass_time(0.01)
    # when a worker takes tasks
    assert taken(worker, queue) == [2]
    # then it gets the others alone, and whoever waits is told
    with pytest.raises(exceptions.TaskExpired, match="deadline") as caught:
        client.wait_for_task_result(queue, expired)
    assert caught.value.task_id == expired
    assert client.get_queue_stats(queue).dead == 0


def test_an_idle_worker_goes_on_after_expired_tasks(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    client.bulk_add_tasks_to_queue(queue, range(5), expires=0)
    stand.pass_time(0.01)
    client.add_task_to_queue(queue, "good")
    assert worker.bulk_wait_for_tasks(queue, 1, timeout=5)[0][1] == "good"


# --- Where it is, and taking it back


def test_a_status_for_every_stage(client: Any, worker: Any, queue: str) -> None:
    assert client.get_task_status(queue, uuid4()) == TaskStatus.UNKNOWN
    good, bad = client.bulk_add_tasks_to_queue(queue, [1, 2])
    later = client.add_task_to_queue(queue, 3, delay=60)
    assert client.get_task_status(queue, str(good)) == TaskStatus.WAITING
    assert client.get_task_status(queue, later) == TaskStatus.DELAYED
    worker.get_tasks(queue)
    assert client.get_task_status(queue, good) == TaskStatus.RUNNING
    worker.bulk_return_task_results(queue, [(good, 1), (bad, ValueError("bad"))])
    assert client.get_task_status(queue, good) == TaskStatus.SUCCEEDED
    assert client.get_task_status(queue, bad) == TaskStatus.FAILED
    assert client.cancel_task(queue, later)
    assert client.get_task_status(queue, later) == TaskStatus.CANCELLED


@pytest.mark.parametrize("options", [{}, {"priority": 7}, {"delay": 60}], ids=str)
def test_a_cancelled_task_never_runs_and_its_waiter_is_told(
    stand: Stand, client: Any, worker: Any, queue: str, options: Any
) -> None:
    # given a task that somebody waits for
    task_id = client.add_task_to_queue(queue, 1, **options)
    waiter = in_thread(client.wait_for_task_result, queue, task_id)
    # when it is cancelled
    assert client.cancel_task(queue, task_id) is True
    # then the waiter is told, and nobody gets it
    with pytest.raises(exceptions.TaskCancelled) as caught:
        waiter.result(5)
    assert caught.value.task_id == task_id
    assert client.get_queue_stats(queue)[:3] == (0, 0, 0)
    stand.pass_delays(queue)
    assert worker.get_tasks(queue) == []
    assert stand.leftovers(queue) == []


def test_what_runs_or_has_ended_cannot_be_cancelled(client: Any, worker: Any, queue: str) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    assert client.cancel_task(queue, task_id) is False
    worker.return_task_result(queue, task_id, "result")
    assert client.cancel_task(queue, task_id) is False
    assert client.cancel_task(queue, uuid4()) is False
    assert client.get_task_result(queue, task_id) == "result"


def test_a_cancelled_task_leaves_its_neighbours(client: Any, worker: Any, queue: str) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, range(5))
    assert client.cancel_task(queue, task_ids[2])
    assert client.get_queue_stats(queue).waiting == 4
    assert taken(worker, queue) == [0, 1, 3, 4]


@pytest.mark.parametrize("options", [{}, {"priority": -3}], ids=str)
def test_any_number_of_cancelled_tasks_hides_none(
    client: Any, worker: Any, queue: str, options: Any
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, range(150), **options)
    for task_id in task_ids[:-2]:
        client.cancel_task(queue, task_id)
    assert worker.get_task(queue) == (task_ids[-2], 148)
    assert worker.wait_for_task(queue, timeout=0) == (task_ids[-1], 149)


def test_stats_count_every_task_once(client: Any, worker: Any, queue: str) -> None:
    first = client.bulk_add_tasks_to_queue(queue, range(5))
    client.bulk_add_tasks_to_queue(queue, range(3), delay=60)
    client.bulk_add_tasks_to_queue(queue, range(2), priority=3)
    worker.get_tasks(queue, 3)  # both urgent ones and the first
    stats = client.get_queue_stats(queue)
    assert (stats.waiting, stats.delayed, stats.running, stats.dead) == (4, 3, 3, 0)
    assert stats.oldest_made_at == first[1].int >> 80
    assert stats == worker.get_queue_stats(queue)
