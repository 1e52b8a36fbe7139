"""`on_batch_error`: what becomes of a batch whose `perform_tasks` raises."""

from __future__ import annotations

import random
import threading
from math import ceil, log2
from typing import Any
from uuid import uuid4

import pytest

from task_helpers import exceptions
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.workers._failures import Failures
from task_helpers.workers._splitting import Batch, perform_batch
from task_helpers.workers.base import BaseWorker
from tests.support.waiting import in_thread

Q = "work"


class Picky(BaseWorker):
    """Performs numbers, all or nothing; raises when one of them is in `guilty`."""

    queue_name = Q
    burst = True
    max_tasks_per_iteration = 1000
    on_batch_error = "split"
    guilty: Any = frozenset()

    def setup(self) -> None:
        self.runs: list[list[int]] = []
        self.done: list[int] = []

    def perform_tasks(self, tasks: Any) -> Any:
        numbers = [number for _, number in tasks]
        self.runs.append(numbers)
        for number in numbers:
            if number in self.guilty:
                raise ValueError(f"{number} is guilty")
        self.done += numbers
        return [(task_id, number * 2) for task_id, number in tasks]


def perform(courier: Any, count: int, **fields: Any) -> tuple[Picky, list[Any]]:
    """The worker, and how tasks 0 to count - 1 ended."""
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(count))
    worker = Picky(courier, **fields)
    worker.perform()
    return worker, ended(courier, task_ids)


def ended(courier: Any, task_ids: Any) -> list[Any]:
    return courier.bulk_wait_for_task_results(Q, task_ids, timeout=0, return_exceptions=True)


def assert_only_the_guilty_failed(results: list[Any], guilty: set[int]) -> None:
    for number, result in enumerate(results):
        if number in guilty:
            assert (result.exception_type, result.message) == (
                "ValueError",
                f"{number} is guilty",
            )
        else:
            assert result == number * 2


def most_runs(guilty: int, count: int) -> int:
    return max(1, ceil(guilty * log2(count) * 2))


# --- Splitting


def test_the_guilty_fail_alone_each_with_its_own_error(courier: Any) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    guilty = set(random.Random(seed).sample(range(500), 3))
    worker, results = perform(courier, 500, guilty=guilty)
    assert_only_the_guilty_failed(results, guilty)
    assert len(worker.runs) <= most_runs(3, 500) == 54


@pytest.mark.parametrize("guilty", [{0}, {1}, {2}, {0, 2}, {0, 1, 2}], ids=str)
def test_small_batches_are_split_to_the_end(courier: Any, guilty: set[int]) -> None:
    _, results = perform(courier, 3, guilty=guilty)
    assert_only_the_guilty_failed(results, guilty)


def test_a_batch_that_succeeds_runs_once(courier: Any) -> None:
    worker, results = perform(courier, 10)
    assert worker.runs == [list(range(10))]
    assert_only_the_guilty_failed(results, set())


def test_a_task_that_fails_alone_is_not_run_again(courier: Any) -> None:
    worker, _ = perform(courier, 1, guilty={0})
    assert worker.runs == [[0]]


def test_what_succeeds_is_done_once_and_in_the_order_of_the_tasks(courier: Any) -> None:
    guilty = {7, 8, 90}
    worker, _ = perform(courier, 100, guilty=guilty)
    assert worker.done == [number for number in range(100) if number not in guilty]


def test_what_passes_by_itself_costs_two_runs(courier: Any) -> None:
    # given something that fails once, such as a deadlock
    class Deadlock(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            self.guilty = () if self.runs else range(100)
            return super().perform_tasks(tasks)

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(100))
    worker = Deadlock(courier)
    worker.perform()
    assert_only_the_guilty_failed(ended(courier, task_ids), set())
    assert [len(run) for run in worker.runs] == [100, 50, 50]


def test_what_fails_everything_is_not_tried_for_every_task(courier: Any) -> None:
    worker, results = perform(courier, 500, guilty=range(500))
    assert all(result.exception_type == "ValueError" for result in results)
    assert len(worker.runs) <= most_runs(3, 500)
    worker, _ = perform(courier, 1000, guilty=range(1000))
    assert len(worker.runs) <= most_runs(3, 500)


def test_what_begins_to_fail_everything_in_the_middle_ends_soon_too(courier: Any) -> None:
    worker, results = perform(courier, 500, guilty={3, *range(250, 500)})
    assert_only_the_guilty_failed(results[:250], {3})
    assert all(result.exception_type == "ValueError" for result in results[250:])
    assert len(worker.runs) <= most_runs(4, 500)


def test_many_bad_tasks_of_one_caller_do_not_fail_the_other_callers(courier: Any) -> None:
    # given a batch that begins with the bad half, and has one more bad task
    guilty = {*range(250), 400}
    # when it is performed
    worker, results = perform(courier, 500, guilty=guilty)
    # then the rest is served, though the half was given up
    assert all(result.exception_type == "ValueError" for result in results[:250])
    served = [number for number in range(250, 500) if number != 400]
    assert [results[number] for number in served] == [number * 2 for number in served]
    assert len(worker.runs) <= most_runs(4, 500)


def test_many_bad_tasks_in_all_places_fail_alone(courier: Any) -> None:
    guilty = set(range(0, 500, 10))
    _, results = perform(courier, 500, guilty=guilty)
    assert_only_the_guilty_failed(results, guilty)


# --- The other values


def test_single_performs_each_task_alone_after_the_batch(courier: Any) -> None:
    worker, results = perform(courier, 30, guilty={4, *range(5, 25)}, on_batch_error="single")
    assert_only_the_guilty_failed(results, {4, *range(5, 25)})
    assert worker.runs == [list(range(30)), *([number] for number in range(30))]


def test_fail_is_the_default(courier: Any) -> None:
    assert BaseWorker.on_batch_error == "fail"
    worker, results = perform(courier, 3, guilty={1}, on_batch_error="fail")
    assert [result.message for result in results] == ["1 is guilty"] * 3
    assert len(worker.runs) == 1


def test_another_value_is_said_before_setup(courier: Any) -> None:
    with pytest.raises(ValueError, match="one of 'fail', 'split', 'single', not 'halve'"):
        Picky(courier, on_batch_error="halve").perform()


# --- What perform_tasks does besides


class Rough(Picky):
    """Spoils what it is given."""

    def perform_tasks(self, tasks: Any) -> Any:
        taken = [(task_id, data.pop("numbers")[0].pop()) for task_id, data in tasks]
        tasks.clear()
        return super().perform_tasks(taken)


@pytest.mark.parametrize("on_batch_error", ["split", "single"])
def test_tasks_are_run_again_as_they_came(courier: Any, on_batch_error: str) -> None:
    # given a worker that takes its list and its nested data apart before it raises
    task_ids = courier.bulk_add_tasks_to_queue(Q, [{"numbers": ([n],)} for n in range(20)])
    # when the batch is performed in parts
    Rough(courier, guilty={7, 13}, on_batch_error=on_batch_error).perform()
    # then each part got its tasks whole
    assert_only_the_guilty_failed(ended(courier, task_ids), {7, 13})


def test_data_that_cannot_be_copied_is_given_again_as_it_is() -> None:
    # given data that only a serializer of the user's own can make
    tasks = [(uuid4(), lambda number=number: number) for number in range(4)]

    def perform_tasks(tasks: Any) -> Any:
        return [(task_id, 1 // number()) for task_id, number in tasks]

    # when its batch is split
    batch = Batch(True, Q, "split", Failures(lambda task_id: 1))
    results = perform_batch(perform_tasks, list(tasks), batch)
    # then the others have their results
    (_, error), *others = results
    assert isinstance(error, ZeroDivisionError)
    assert [result for _, result in others] == [1, 0, 0]


def test_each_run_is_judged_by_the_rules_of_a_batch(
    courier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            rest = super().perform_tasks(tasks)[1:]
            return [*rest, *rest]

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(4))
    Forgetful(courier, guilty={0}).perform()
    guilty, alone, forgotten, four = ended(courier, task_ids)
    assert guilty.message == "0 is guilty"
    assert isinstance(alone, exceptions.TaskNotReturned)
    assert isinstance(forgotten, exceptions.TaskNotReturned)
    assert four == 6
    assert "twice" in caplog.text


def test_an_error_given_as_result_splits_nothing(courier: Any) -> None:
    class Careful(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            self.runs.append(tasks)
            return [(task_id, KeyError(number)) for task_id, number in tasks]

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))
    worker = Careful(courier)
    worker.perform()
    assert [error.exception_type for error in ended(courier, task_ids)] == ["KeyError"] * 3
    assert len(worker.runs) == 1


def test_errors_of_a_generator_split_too(courier: Any) -> None:
    class Lazy(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            yield from super().perform_tasks(tasks)

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(10))
    Lazy(courier, guilty={4}).perform()
    assert_only_the_guilty_failed(ended(courier, task_ids), {4})


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit()], ids=repr)
def test_what_is_no_exception_is_found_like_any_other(courier: Any, error: BaseException) -> None:
    class Leaving(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            if any(number == 2 for _, number in tasks):
                raise error
            return tasks

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(5))
    Leaving(courier).perform()
    results = ended(courier, task_ids)
    assert results.pop(2).exception_type == "RuntimeError"
    assert results == [0, 1, 3, 4]


def test_the_error_of_a_task_tells_of_no_other_task(courier: Any) -> None:
    _, results = perform(courier, 8, guilty={2, 6})
    assert "6 is guilty" in results[6].remote_traceback
    assert "2 is guilty" not in results[6].remote_traceback


def test_the_log_says_what_it_took_to_find_the_guilty(
    courier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "task_helpers.workers"):
        worker, _ = perform(courier, 100, guilty={7, 8})
    failed, parts = caplog.records
    assert failed.message.startswith("2 of 100 tasks in queue work failed: ValueError: 7 is guilty")
    assert parts.levelname == "INFO"
    assert parts.message == (
        "A batch of 100 tasks in queue work raised ValueError: 7 is guilty and was performed in "
        f"parts: 2 of them failed, {len(worker.runs)} runs."
    )


def test_a_batch_that_passes_in_parts_is_a_warning(
    courier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Crowded(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            if len(tasks) > 2:
                raise RuntimeError("too many")
            return tasks

    courier.bulk_add_tasks_to_queue(Q, range(4))
    Crowded(courier).perform()
    assert caplog.messages == [
        "A batch of 4 tasks in queue work raised RuntimeError: too many and was performed in "
        "parts: 0 of them failed, 3 runs."
    ]


# --- In the loop


def test_only_the_guilty_are_tried_again(courier: Any) -> None:
    # given a task that fails at its first attempt, and one that always does
    class Mending(Picky):
        guilty = frozenset({3, 5})

        def perform_tasks(self, tasks: Any) -> Any:
            if 3 in self.guilty and [number for _, number in tasks] == [3]:
                self.guilty = {5}
                raise ValueError("3 is guilty")
            return super().perform_tasks(tasks)

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(8))
    # when there are two attempts
    worker = Mending(courier, max_attempts=2, retry_delay=0, burst=False, max_tasks=10)
    worker.perform()
    # then the others were performed once
    assert_only_the_guilty_failed(ended(courier, task_ids), {5})
    assert sorted(worker.done) == [0, 1, 2, 3, 4, 6, 7]


def test_a_stop_lets_the_batch_be_split_to_its_end(courier: Any) -> None:
    began, go_on = threading.Event(), threading.Event()

    class Slow(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            if len(tasks) == 1:
                began.set()
                go_on.wait(10)
            return super().perform_tasks(tasks)

    # given a worker in the middle of splitting its batch
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(20))
    worker = Slow(courier, guilty={0, 15}, max_tasks_per_iteration=16, burst=False)
    run = in_thread(worker.perform)
    began.wait(10)
    # when it is told to stop
    worker.stop()
    go_on.set()
    run.result(5)
    # then the batch has its results, and nothing else was taken
    assert_only_the_guilty_failed(ended(courier, task_ids[:16]), {0, 15})
    assert courier.get_queue_stats(Q).waiting == 4


def test_an_interrupt_in_the_middle_gives_the_whole_batch_back(courier: Any) -> None:
    class Interrupted(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            if len(self.runs) == 4:
                raise KeyboardInterrupt
            return super().perform_tasks(tasks)

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(20))
    with pytest.raises(KeyboardInterrupt):
        Interrupted(courier, guilty={15}).perform()
    assert [task_id for task_id, _ in courier.get_tasks(Q)] == task_ids


def test_the_lease_lasts_as_long_as_the_splitting(redis_connection: Any, prefix: str) -> None:
    # given a worker whose runs take longer together than the lease
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix, lease=1)
    began, pause = threading.Event(), threading.Event()

    class Slow(Picky):
        def perform_tasks(self, tasks: Any) -> Any:
            began.set()
            pause.wait(0.3)
            return super().perform_tasks(tasks)

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(8))
    run = in_thread(Slow(courier, guilty={5}).perform)
    began.wait(10)
    # when another one looks for tasks meanwhile
    taken: list[Any] = []
    while not run.done():
        taken += courier.get_tasks(Q)
        pause.wait(0.05)
    # then it gets none
    run.result(5)
    assert taken == []
    assert_only_the_guilty_failed(ended(courier, task_ids), {5})
