"""A task goes in, its result comes out: equal, of the same type, to the one who asks for it."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from task_helpers import exceptions
from task_helpers.serializers import JsonSerializer
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Stand
from tests.support.waiting import Stopwatch, in_thread, wait_until

VALUES = [
    None,
    True,
    0,
    -(2**70),
    1.5,
    "text – ß",
    b"bytes",
    [1, [2]],
    (1, (2,)),
    {"a": {"b": ()}, 3: "three"},
    {1, 2},
    frozenset({"x"}),
    UUID(int=7),
    Decimal("12.450"),
    date(2026, 11, 24),
    time(6, 30),
    timedelta(days=1, microseconds=3),
    datetime(2026, 11, 24, 6, 30, 0, 5),
    datetime(2026, 11, 24, 6, 30, tzinfo=UTC),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_keep_their_type_there_and_back(
    client: Any, worker: Any, queue: str, value: Any
) -> None:
    # given a task
    task_id = client.add_task_to_queue(queue_name=queue, task_data=value)
    # when a worker takes it and returns what it got
    got_id, got = worker.get_task(queue_name=queue)
    worker.return_task_result(queue_name=queue, task_id=got_id, task_result=got)
    # then both the worker and the client see the value
    result = client.wait_for_task_result(queue_name=queue, task_id=task_id)
    assert isinstance(task_id, UUID)
    assert got_id == task_id
    for seen in (got, result):
        assert (seen, type(seen)) == (value, type(value))


def test_a_bulk_of_tasks_is_taken_in_order_and_answered_in_the_order_asked(
    client: Any, worker: Any, queue: str
) -> None:
    # given 2,500 tasks, more than one command holds
    task_ids = client.bulk_add_tasks_to_queue(queue_name=queue, tasks_data=range(2500))
    assert len(set(task_ids)) == 2500
    # when all are taken and returned
    tasks = worker.get_tasks(queue_name=queue, max_count=2500)
    assert tasks == list(zip(task_ids, range(2500), strict=True))
    worker.bulk_return_task_results(queue, [(i, -n) for i, n in reversed(tasks)])
    # then the results come in the order of the ids
    asked = task_ids[::-1]
    assert client.bulk_wait_for_task_results(queue, asked, timeout=5) == [
        -n for n in reversed(range(2500))
    ]


def test_nothing_is_left_when_all_results_are_read(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, range(20))
    worker.bulk_return_task_results(queue, worker.get_tasks(queue))
    client.bulk_wait_for_task_results(queue, task_ids)
    assert stand.leftovers(queue) == []
    assert client.get_queue_stats(queue)[:5] == (0, 0, 0, 0, None)


def test_many_tasks_of_nothing(client: Any, queue: str) -> None:
    assert client.bulk_add_tasks_to_queue(queue, []) == []
    assert client.bulk_wait_for_task_results(queue, []) == []


def test_any_iterable_of_tasks_ids_and_results_will_do(
    client: Any, worker: Any, queue: str
) -> None:
    task_ids = client.bulk_add_tasks_to_queue(queue, (n for n in (1, 2)))
    worker.bulk_return_task_results(queue, (task for task in worker.get_tasks(queue)))
    assert client.bulk_wait_for_task_results(queue, iter(map(str, task_ids))) == [1, 2]


def test_queues_do_not_mix(client: Any, worker: Any) -> None:
    task_id = client.add_task_to_queue("a.b:c-d_1", "data")
    assert worker.get_tasks("a.b:c-d_2") == []
    assert worker.get_tasks("a.b:c-d_1") == [(task_id, "data")]


def test_one_courier_may_be_both_sides(stand: Stand, queue: str) -> None:
    courier = stand.both()
    task_id = courier.add_task_to_queue(queue, 1)
    courier.return_task_result(queue, *courier.get_task(queue))
    assert courier.get_task_result(queue, task_id) == 1


def test_json_on_one_side_and_msgpack_on_the_other(stand: Stand, queue: str) -> None:
    client, worker = stand.client(serializer="json"), stand.worker()
    task_id = client.add_task_to_queue(queue, {"n": [1]})
    worker.return_task_result(queue, *worker.get_task(queue))
    assert client.wait_for_task_result(queue, task_id) == {"n": [1]}


def test_a_serializer_of_ones_own(stand: Stand, queue: str) -> None:
    class Shouting(JsonSerializer):
        codec, name = 77, "shouting"

        def loads(self, data: bytes) -> Any:
            return super().loads(data).upper()

    courier = stand.both(serializer=Shouting())
    task_id = courier.add_task_to_queue(queue, "a")
    assert courier.get_task(queue) == (task_id, "A")


# --- Reading


def test_reading_deletes_the_result(client: Any, worker: Any, queue: str) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.return_task_result(queue, *worker.get_task(queue))
    assert client.check_for_done(queue, task_id)
    assert client.get_task_result(queue, task_id) == 1
    assert not client.check_for_done(queue, task_id)
    assert client.get_task_status(queue, task_id) == TaskStatus.UNKNOWN
    with pytest.raises(exceptions.TaskResultDoesNotExist, match=str(task_id)):
        client.get_task_result(queue, task_id)


def test_without_delete_data_a_result_is_read_again_until_it_expires(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given the result of a task
    task_id = client.add_task_to_queue(queue, 1)
    worker.return_task_result(queue, *worker.get_task(queue))
    # when it is read without deleting
    assert client.get_task_result(queue, task_id, delete_data=False) == 1
    assert client.wait_for_task_result(queue, task_id, delete_data=False) == 1
    assert client.bulk_wait_for_task_results(queue, [task_id], delete_data=False) == [1]
    # then it is there until its time is over
    assert client.get_task_status(queue, task_id) == TaskStatus.SUCCEEDED
    stand.pass_results(queue)
    with pytest.raises(exceptions.TaskResultDoesNotExist):
        client.get_task_result(queue, task_id)
    assert stand.leftovers(queue) == []


def test_no_result_yet_is_no_result(client: Any, worker: Any, queue: str) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    for _ in range(2):  # while it waits, and while it runs
        assert not client.check_for_done(queue, task_id)
        with pytest.raises(exceptions.TaskResultDoesNotExist):
            client.get_task_result(queue, task_id)
        worker.get_tasks(queue)


@pytest.mark.parametrize("unknown", ["no-uuid", 7, None])
def test_an_id_that_is_none_is_named(client: Any, queue: str, unknown: Any) -> None:
    with pytest.raises(ValueError, match="a task id is"):
        client.get_task_result(queue, unknown)


# --- Waiting


def test_a_waiter_gets_the_result_when_it_comes(client: Any, worker: Any, queue: str) -> None:
    # given somebody who waits
    task_id = client.add_task_to_queue(queue, "data")
    waiter = in_thread(client.wait_for_task_result, queue, task_id)
    # when a worker returns the result
    worker.return_task_result(queue, *worker.get_task(queue))
    # then the waiter has it
    assert waiter.result(5) == "data"


@pytest.mark.parametrize("timeout", [0, 0.05, timedelta(milliseconds=50)], ids=str)
def test_waiting_ends_with_the_time(client: Any, queue: str, timeout: Any) -> None:
    task_id, watch = client.add_task_to_queue(queue, 1), Stopwatch()
    with pytest.raises(TimeoutError, match=f"{task_id}.*is a worker running"):
        client.wait_for_task_result(queue, task_id, timeout=timeout)
    assert watch.seconds < 1


@pytest.mark.parametrize("timeout", [0, 1, None])
def test_a_result_that_is_there_needs_no_waiting(
    client: Any, worker: Any, queue: str, timeout: Any
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.return_task_result(queue, *worker.get_task(queue))
    assert client.wait_for_task_result(queue, task_id, timeout=timeout) == 1


def test_a_timeout_loses_no_result(client: Any, worker: Any, queue: str) -> None:
    # given two tasks of which one has a result
    task_ids = client.bulk_add_tasks_to_queue(queue, [1, 2])
    worker.return_task_result(queue, *worker.get_task(queue))
    # when waiting for both times out
    with pytest.raises(TimeoutError):
        client.bulk_wait_for_task_results(queue, task_ids, timeout=0.05)
    # then the one result can still be read
    assert client.get_task_result(queue, task_ids[0]) == 1


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_timeout_that_cannot_be_is_a_value_error(client: Any, queue: str, timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be"):
        client.wait_for_task_result(queue, uuid4(), timeout=timeout)


def test_a_task_nobody_knows_is_lost_quickly_even_without_a_timeout(
    client: Any, worker: Any, queue: str
) -> None:
    # given an id that was never added and one whose result was read before
    read_before = client.add_task_to_queue(queue, 1)
    worker.return_task_result(queue, *worker.get_task(queue))
    client.get_task_result(queue, read_before)
    for task_id in (uuid4(), read_before):
        # when somebody waits for it, for ever
        watch = Stopwatch()
        with pytest.raises(exceptions.TaskLost) as caught:
            client.wait_for_task_result(queue, task_id, timeout=None)
        # then it says so soon
        assert watch.seconds < 2
        assert caught.value.task_id == task_id


def test_a_result_that_expires_under_a_waiter_does_not_hang_it(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given two tasks, one with a result, and a second waiter that waits for both
    task_ids = client.bulk_add_tasks_to_queue(queue, [1, 2])
    worker.return_task_result(queue, *worker.get_task(queue))
    stand.pass_results(queue)
    waiter = in_thread(client.bulk_wait_for_task_results, queue, task_ids, return_exceptions=True)
    # when the other task ends as well
    worker.return_task_result(queue, *worker.get_task(queue))
    # then the first is reported lost and the second is there
    lost, result = waiter.result(5)
    assert isinstance(lost, exceptions.TaskLost)
    assert result == 2


def test_call_adds_and_waits(client: Any, worker: Any, queue: str) -> None:
    waiter = in_thread(client.call, queue, [1], timeout=timedelta(seconds=5))
    [task_id], [data] = zip(*worker.bulk_wait_for_tasks(queue, 5, timeout=5), strict=True)
    worker.return_task_result(queue, task_id, (data, "done"))
    assert waiter.result(5) == ([1], "done")


def test_nobody_begins_a_call_that_was_given_up(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    with pytest.raises(TimeoutError):
        client.call(queue, 1, timeout=0.02)
    stand.pass_time(0.02)
    assert worker.get_tasks(queue) == []
    assert stand.leftovers(queue) == []


def test_many_threads_share_a_courier_and_each_gets_its_own_result(
    client: Any, worker: Any, queue: str
) -> None:
    # given 64 threads that wait, each for its task
    waiters = {n: in_thread(client.call, queue, n, timeout=20) for n in range(64)}
    wait_until(lambda: client.get_queue_stats(queue).waiting == 64)
    # when one worker performs them together
    tasks = worker.get_tasks(queue, max_count=64)
    worker.bulk_return_task_results(queue, [(i, f"result {n}") for i, n in tasks])
    # then each has its own
    assert {n: waiter.result(10) for n, waiter in waiters.items()} == {
        n: f"result {n}" for n in range(64)
    }


@pytest.mark.usefixtures("shared_by_processes", "going_on_after_a_fork")
def test_the_worker_may_be_another_process(stand: Stand, client: Any, queue: str) -> None:
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            worker = stand.worker()
            task_id, data = worker.wait_for_task(queue, 10)
            worker.return_task_result(queue, task_id, (data, os.getpid()))
        os._exit(0)
    assert client.call(queue, "data", timeout=10) == ("data", child)
    os.waitpid(child, 0)


def test_two_may_wait_for_the_same_result(client: Any, worker: Any, queue: str) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    waiters = [in_thread(client.wait_for_task_result, queue, task_id, False) for _ in range(2)]
    worker.return_task_result(queue, *worker.get_task(queue))
    assert [waiter.result(5) for waiter in waiters] == [1, 1]


def test_only_what_is_handed_over_is_deleted(client: Any, worker: Any, queue: str) -> None:
    # given two results and an error between them
    task_ids = client.bulk_add_tasks_to_queue(queue, range(3))
    results = [1, ValueError("no"), 3]
    worker.get_tasks(queue)
    worker.bulk_return_task_results(queue, zip(task_ids, results, strict=True))
    # when they are waited for together, and the error is raised
    with pytest.raises(exceptions.PerformTaskError, match="no"):
        client.bulk_wait_for_task_results(queue, task_ids, timeout=1)
    # then the error is gone, and the results can be read
    with pytest.raises(exceptions.TaskResultDoesNotExist):
        client.get_task_result(queue, task_ids[1])
    assert client.bulk_wait_for_task_results(queue, task_ids[::2], timeout=1) == [1, 3]


def test_a_result_that_cannot_be_decoded_here_is_left_for_who_can(stand: Stand, queue: str) -> None:
    # given a result in a format that one client does not know
    class Foreign(JsonSerializer):
        codec = 77

    able, unable = stand.client(serializer=Foreign()), stand.client()
    worker = stand.worker(serializer=Foreign())
    task_id = able.add_task_to_queue(queue, {"a": 1})
    worker.bulk_return_task_results(queue, worker.get_tasks(queue))
    # when that one reads it
    with pytest.raises(exceptions.DeserializationError):
        unable.wait_for_task_result(queue, task_id, timeout=1)
    # then the other one still can
    assert able.get_task_result(queue, task_id) == {"a": 1}


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a file name: \udcff"),
        exceptions.PerformTaskError(404),  # type: ignore[arg-type]
        exceptions.PerformTaskError(ValueError("no")),  # type: ignore[arg-type]
        Speechless(),
    ],
    ids=["surrogate", "number", "exception", "speechless"],
)
def test_any_error_can_be_told(client: Any, worker: Any, queue: str, error: Exception) -> None:
    # given a task that fails with an error whose text is no plain text, and a neighbour
    bad_id, good_id = client.bulk_add_tasks_to_queue(queue, ["bad", "good"])
    worker.get_tasks(queue)
    worker.bulk_return_task_results(queue, [(bad_id, error), (good_id, 1)])
    # then it has failed, and the neighbour has not
    with pytest.raises(exceptions.PerformTaskError):
        client.wait_for_task_result(queue, bad_id, timeout=1)
    assert client.get_task_result(queue, good_id) == 1


def test_many_tasks_fail_with_one_error_and_each_waiter_gets_it(
    client: Any, worker: Any, queue: str
) -> None:
    # given an error that is that of a whole batch, but of one task
    error = ValueError("the whole batch")
    task_ids = client.bulk_add_tasks_to_queue(queue, range(5))
    results = [(task_id, error) for task_id, _ in worker.get_tasks(queue)]
    results[2] = (results[2][0], KeyError("its own"))
    # when it is returned
    worker.bulk_return_task_results(queue, results)
    # then each knows its own
    errors = client.bulk_wait_for_task_results(queue, task_ids, return_exceptions=True)
    assert [error.exception_type for error in errors] == [
        *("ValueError", "ValueError", "KeyError", "ValueError", "ValueError")
    ]
    assert [error.task_id for error in errors] == task_ids
