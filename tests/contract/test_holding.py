"""Who may end a task: leases, first results, errors, workers that die, tasks that kill them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from task_helpers import exceptions
from task_helpers.serializers import JsonSerializer
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Stand
from tests.support.waiting import in_thread

# --- Errors


def test_an_exception_as_result_fails_its_task_alone(client: Any, worker: Any, queue: str) -> None:
    # given three tasks, one of which fails
    task_ids = client.bulk_add_tasks_to_queue(queue, [1, 0, 2])

    def half(number: int) -> Any:
        try:
            return 2 // number
        except ZeroDivisionError as error:
            return error

    worker.bulk_return_task_results(queue, [(i, half(n)) for i, n in worker.get_tasks(queue)])
    # when their results are read
    first, failed, third = client.bulk_wait_for_task_results(
        queue, task_ids, delete_data=False, return_exceptions=True
    )
    # then the error says what happened in the worker
    assert (first, third) == (2, 1)
    assert type(failed) is exceptions.PerformTaskError
    assert failed.task_id == task_ids[1]
    assert failed.exception_type == "ZeroDivisionError"
    assert "division" in failed.message
    assert "return 2 // number" in failed.remote_traceback
    assert failed.attempts == 1
    # and every way to read it raises it
    with pytest.raises(exceptions.PerformTaskError, match="ZeroDivisionError"):
        client.bulk_wait_for_task_results(queue, task_ids, delete_data=False)
    with pytest.raises(exceptions.PerformTaskError):
        client.wait_for_task_result(queue, task_ids[1], delete_data=False)
    with pytest.raises(exceptions.PerformTaskError):
        client.get_task_result(queue, task_ids[1])


def test_a_failed_call_raises(client: Any, worker: Any, queue: str) -> None:
    waiter = in_thread(client.call, queue, 1, timeout=5)
    task_id, _ = worker.wait_for_task(queue, 5)
    worker.return_task_result(queue, task_id, ValueError("no"))
    with pytest.raises(exceptions.PerformTaskError, match=r"ValueError: no \(task"):
        waiter.result(5)


def test_named_ends_keep_their_name(client: Any, worker: Any, queue: str) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    worker.return_task_result(queue, task_id, exceptions.TimeLimitExceeded("over 5 s"))
    with pytest.raises(exceptions.TimeLimitExceeded, match="over 5 s"):
        client.get_task_result(queue, task_id)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [("x" * 101, "ResultTooLarge"), (object(), "SerializationError")],
    ids=["too large", "not serialisable"],
)
def test_one_result_that_cannot_be_returned_fails_that_task_alone(
    stand: Stand, client: Any, queue: str, bad: Any, kind: str
) -> None:
    worker = stand.worker(max_result=100)
    task_ids = client.bulk_add_tasks_to_queue(queue, range(50))
    tasks = worker.get_tasks(queue)
    worker.bulk_return_task_results(queue, [(i, bad if n == 7 else n) for i, n in tasks])
    results = client.bulk_wait_for_task_results(queue, task_ids, return_exceptions=True)
    failed = results.pop(7)
    assert results == [n for n in range(50) if n != 7]
    assert isinstance(failed, exceptions.PerformTaskError)
    assert failed.exception_type == kind
    assert stand.leftovers(queue) == []


def test_a_task_that_cannot_be_read_fails_alone_and_is_kept(
    stand: Stand, client: Any, queue: str
) -> None:
    # given tasks whose serializer the worker does not know, among others
    class Foreign(JsonSerializer):
        codec, name = 99, "foreign"

    stranger, worker = stand.client(serializer=Foreign()), stand.worker(max_dead_letters=2)
    unreadable = stranger.bulk_add_tasks_to_queue(queue, range(3))
    good = client.add_task_to_queue(queue, "good")
    # when the worker takes them all
    assert worker.get_tasks(queue) == [(good, "good")]
    # then the readable one is performed, the others are told, and the latest two are kept
    for task_id in unreadable:
        with pytest.raises(exceptions.PerformTaskError, match="DeserializationError"):
            client.wait_for_task_result(queue, task_id)
    assert client.get_queue_stats(queue).dead == 2


# --- The first result counts


def test_the_first_result_counts_whoever_returns_it(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a task that a worker holds
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    # when a courier that never took it is faster
    stand.worker().return_task_result(queue, task_id, "stranger")
    worker.return_task_result(queue, task_id, "holder")
    worker.return_task_result(queue, task_id, ValueError("holder again"))
    # then its result stays
    assert client.wait_for_task_result(queue, task_id) == "stranger"
    assert stand.leftovers(queue) == []


def test_a_result_for_a_task_that_only_waits_is_taken(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.return_task_result(queue, task_id, "early")
    assert client.get_task_result(queue, task_id) == "early"
    assert worker.get_tasks(queue) == []


def test_a_result_of_an_unknown_task_is_dropped(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    unknown = uuid4()
    worker.return_task_result(queue, unknown, 1)
    assert not client.check_for_done(queue, unknown)
    assert stand.leftovers(queue) == []


def test_a_stranger_cannot_fail_what_another_holds(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    stand.worker().return_task_result(queue, task_id, ValueError("not yours"))
    worker.return_task_result(queue, task_id, "good")
    assert client.wait_for_task_result(queue, task_id) == "good"


def test_the_first_of_two_results_in_one_call_counts(client: Any, worker: Any, queue: str) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    worker.bulk_return_task_results(queue, [(task_id, "first"), (task_id, "second")])
    assert client.get_task_result(queue, task_id) == "first"


def test_results_may_be_returned_one_by_one(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, range(3))
    for task in worker.get_tasks(queue):
        worker.return_task_result(queue, *task)
    assert client.bulk_wait_for_task_results(queue, task_ids) == [0, 1, 2]
    assert stand.leftovers(queue) == []


def test_acknowledged_tasks_have_no_result(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, range(3))
    worker.get_tasks(queue)
    worker.acknowledge_tasks(queue, task_ids)
    assert client.get_task_status(queue, task_ids[0]) == TaskStatus.UNKNOWN
    with pytest.raises(exceptions.TaskLost):
        client.wait_for_task_result(queue, task_ids[0], timeout=5)
    assert stand.leftovers(queue) == []


def test_a_task_acknowledged_twice_does_not_stand_for_another_one(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a batch of two, of which a worker acknowledges one, twice
    first, second = client.bulk_add_tasks_to_queue(queue, ["a", "b"])
    worker.get_tasks(queue)
    worker.acknowledge_tasks(queue, [first, first])
    # then it still holds the other one, which goes to somebody else when it gives it back
    worker.release_tasks(queue)
    assert stand.worker().get_tasks(queue) == [(second, "b")]


def test_a_task_that_was_acknowledged_before_is_not_counted_again(
    client: Any, worker: Any, queue: str
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, ["a", "b"])
    worker.get_tasks(queue)
    for _ in range(3):
        worker.acknowledge_tasks(queue, task_ids)
    assert client.get_queue_stats(queue).done == 2


# --- Leases


def test_the_batch_of_a_dead_worker_goes_to_another(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a worker that took tasks and is gone
    task_ids = client.bulk_add_tasks_to_queue(queue, range(3))
    worker.get_tasks(queue)
    second = stand.worker()
    assert second.get_tasks(queue) == []
    # when its lease has run out
    stand.pass_leases(queue)
    # then another gets them, few at a time
    while tasks := second.get_tasks(queue):
        second.bulk_return_task_results(queue, [(i, f"second {n}") for i, n in tasks])
    results = client.bulk_wait_for_task_results(queue, task_ids, timeout=5)
    assert results == ["second 0", "second 1", "second 2"]
    assert stand.leftovers(queue) == []


def test_a_task_that_expired_with_its_worker_is_said_to_have_been_taken(
    stand: Stand, client: Any, worker: Any, queue: str, caplog: Any
) -> None:
    # given a worker that is gone with a task, whose deadline passes before the lease
    task_id = client.add_task_to_queue(queue, 1, expires=0.2)
    assert worker.get_tasks(queue)
    stand.pass_time(0.3)
    stand.pass_leases(queue)
    # when another one finds it
    assert stand.worker().get_tasks(queue) == []
    # then nobody is told that it was not performed
    with pytest.raises(exceptions.TaskExpired, match="it may have been performed"):
        client.wait_for_task_result(queue, task_id, timeout=5)
    assert f"1 task in queue {queue} expired" in caplog.text


def test_an_idle_worker_notices_that_another_died(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    waiter = in_thread(stand.worker().wait_for_task, queue, 10)
    stand.pass_leases(queue)
    assert waiter.result(5) == (task_id, 1)


def test_waiting_without_time_takes_what_a_dead_worker_left(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    stand.pass_leases(queue)
    assert stand.worker().wait_for_task(queue, timeout=0) == (task_id, 1)


def test_a_late_result_counts_when_nobody_else_returned_one(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given two workers whose leases ran out, one of whose tasks are queued again
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    stand.pass_leases(queue)
    stand.worker().release_tasks(queue)
    # when the first returns its result after all
    worker.return_task_result(queue, task_id, "late")
    # then it counts, and the task is not run again
    assert client.wait_for_task_result(queue, task_id) == "late"
    assert stand.worker().get_tasks(queue) == []
    assert stand.leftovers(queue) == []


def test_a_late_result_counts_even_while_another_performs_the_task(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    stand.pass_leases(queue)
    second = stand.worker()
    assert second.get_task(queue) == (task_id, 1)
    worker.return_task_result(queue, task_id, "late, but first")
    second.return_task_result(queue, task_id, "second")
    assert client.wait_for_task_result(queue, task_id) == "late, but first"
    assert stand.leftovers(queue) == []


def test_a_late_error_is_refused(stand: Stand, client: Any, worker: Any, queue: str) -> None:
    # given a task whose worker lost its lease to another
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    stand.pass_leases(queue)
    second = stand.worker()
    assert second.get_task(queue) == (task_id, 1)
    # when the first comes back with an error
    worker.return_task_result(queue, task_id, ValueError("late"))
    # then it fails nothing
    assert not client.check_for_done(queue, task_id)
    second.return_task_result(queue, task_id, "good")
    assert client.get_task_result(queue, task_id) == "good"


def test_renewing_keeps_a_batch(stand: Stand, client: Any, worker: Any, queue: str) -> None:
    client.bulk_add_tasks_to_queue(queue, range(3))
    tasks = worker.get_tasks(queue)
    stand.pass_leases(queue)
    worker.renew_leases(queue, "the worker")
    assert stand.worker().get_tasks(queue) == []
    worker.bulk_return_task_results(queue, tasks)


def test_a_renewed_batch_can_still_fail_its_tasks(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    first, _ = client.bulk_add_tasks_to_queue(queue, [1, 2])
    worker.get_task(queue)
    worker.renew_leases(queue, "the worker")
    worker.get_task(queue)
    worker.return_task_result(queue, first, ValueError("mine"))
    with pytest.raises(exceptions.PerformTaskError, match="mine"):
        client.get_task_result(queue, first)


def test_a_worker_that_gets_its_own_batch_again_holds_it(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a worker that lost a batch and took it again
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    stand.pass_leases(queue)
    assert worker.get_task(queue) == (task_id, 1)
    # when it learns that the first lease is gone
    worker.renew_leases(queue, "the worker")
    # then it holds the second one
    worker.return_task_result(queue, task_id, ValueError("mine"))
    with pytest.raises(exceptions.PerformTaskError, match="mine"):
        client.get_task_result(queue, task_id)
    assert stand.leftovers(queue) == []


def test_workers_that_report_are_counted_until_they_leave(
    stand: Stand, client: Any, queue: str
) -> None:
    first, second = stand.worker(), stand.worker()
    first.renew_leases(queue, "first")
    second.renew_leases(queue, "second")
    assert sorted(client.get_queue_stats(queue).workers) == ["first", "second"]
    first.say_farewell(queue, "first")
    assert client.get_queue_stats(queue).workers == ["second"]
    assert stand.leftovers(queue) == []  # one that leaves without a word is forgotten


def test_released_tasks_are_the_next_to_be_taken_in_their_order(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    client.bulk_add_tasks_to_queue(queue, range(6))
    worker.get_tasks(queue, 4)
    worker.release_tasks(queue)
    assert [data for _, data in stand.worker().get_tasks(queue)] == list(range(6))
    worker.release_tasks(queue)  # it holds nothing any more


def test_a_release_gives_back_only_what_has_no_result(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, range(3))
    worker.get_tasks(queue)
    worker.return_task_result(queue, task_ids[0], "done")
    worker.release_tasks(queue)
    assert [data for _, data in stand.worker().get_tasks(queue)] == [1, 2]


# --- Tasks that kill their worker


def test_a_task_that_kills_its_workers_is_found_out_and_its_neighbours_are_not(
    stand: Stand, client: Any, queue: str
) -> None:
    # given 40 tasks of which one kills whoever performs it
    task_ids = client.bulk_add_tasks_to_queue(queue, range(40))
    deaths = 0
    # when workers perform them, and a new one comes for each that died
    worker = stand.worker()
    while tasks := worker.get_tasks(queue, 32):
        if any(number == 13 for _, number in tasks):
            deaths += 1
            stand.pass_leases(queue)
            worker = stand.worker()
        else:
            worker.bulk_return_task_results(queue, tasks)
    # then the others have their results, and the one is told, after five deaths at most
    results = client.bulk_wait_for_task_results(queue, task_ids, return_exceptions=True, timeout=5)
    killer = results.pop(13)
    assert results == [number for number in range(40) if number != 13]
    assert isinstance(killer, exceptions.WorkerLost)
    assert killer.task_id == task_ids[13]
    assert deaths <= 5
    assert client.get_queue_stats(queue)[:4] == (0, 0, 0, 1)


def test_a_task_that_survives_being_suspected_is_like_any_other(
    stand: Stand, client: Any, queue: str
) -> None:
    # given a task whose worker died twice beside it
    task_id = client.add_task_to_queue(queue, "unlucky")
    for _ in range(2):
        assert stand.worker().get_task(queue) == (task_id, "unlucky")
        stand.pass_leases(queue)
    # when a third performs it
    worker = stand.worker()
    worker.return_task_result(queue, *worker.get_task(queue))
    # then it has its result
    assert client.get_task_result(queue, task_id) == "unlucky"
    assert stand.leftovers(queue) == []
