"""`context`, and what tasks say of their progress through it."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest

from task_helpers import context, task_function
from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.exceptions import CourierUnavailable
from task_helpers.tasks import Task
from task_helpers.testing import run_queue
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.classic import ClassicWorker
from tests.support.waiting import in_thread, wait_until

Q = "calls"


@task_function(name="tests.progress.known")
def known() -> Any:
    return context.task_id, context.queue_name, context.attempt


def test_a_function_knows_its_task(courier: Any) -> None:
    task_id = courier.add_task_to_queue(Q, {"function": known})
    run_queue(courier, ClassicWorker, queue_name=Q)
    assert courier.get_task_result(Q, task_id) == (task_id, Q, 1)


def test_the_attempt_is_counted(courier: Any) -> None:
    # given a function that fails the first time
    class Flaky(BaseWorker):
        queue_name = Q
        max_attempts = 2
        retry_delay = 0

        def perform_single_task(self, task: Task) -> int:
            if context.attempt == 1:
                raise ValueError
            return context.attempt

    task_id = courier.add_task_to_queue(Q, 1)
    Flaky(courier).perform(total_iterations=2)
    assert courier.get_task_result(Q, task_id) == 2


def test_outside_of_a_task_there_is_nobody_to_tell() -> None:
    assert known() == (None, "", 0)
    context.set_progress(0.5, "in a test")


def test_what_a_task_says_is_seen_while_it_runs(courier: Any) -> None:
    # given a task that reports and then waits to be let go
    class Reporting(BaseWorker):
        queue_name = Q
        go_on = False

        def perform_single_task(self, task: Task) -> str:
            for step in range(1_000):
                context.set_progress(step / 2_000, f"step {step}")
            wait_until(lambda: self.go_on)
            return "done"

    task_id = courier.add_task_to_queue(Q, 1)
    worker = Reporting(courier)
    done = in_thread(worker.perform, 1)
    # when its status is read
    status = wait_until(
        lambda: (s := courier.get_task_status(Q, task_id)).message == "step 999" and s
    )
    # then it has the last word of the task
    assert (status, status.progress) == ("running", 999 / 2_000)
    worker.go_on = True
    done.result(5)


def test_many_words_are_few_writes(courier: MemoryClientWorkerTaskCourier) -> None:
    # given a batch whose worker counts what is written
    written: list[dict[UUID, Any]] = []
    courier.set_progress = lambda queue, said: written.append(said)  # type: ignore[method-assign]

    class Bulk(BaseWorker):
        queue_name = Q

        def perform_tasks(self, tasks: list[Task]) -> list[Task]:
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                for task_id, _ in tasks:
                    self.set_progress(task_id, 0.5)
            for task_id, _ in tasks:
                self.set_progress(task_id, 1, "last")
            return tasks

    ids = courier.bulk_add_tasks_to_queue(Q, range(50))
    # when they say something all the time
    Bulk(courier).perform(total_iterations=1)
    # then it is written a few times, for all together, and the last word of each is among it
    wait_until(lambda: len({i for s in written for i, p in s.items() if p == (1, "last")}) == 50)
    assert len(written) <= 5
    assert max(map(len, written)) == len(ids)


@pytest.mark.parametrize("error", [CourierUnavailable("away"), RuntimeError("broken")])
def test_a_store_that_is_away_fails_no_task(courier: Any, error: Exception) -> None:
    heard = []

    def refuse(*given: Any) -> None:
        heard.append(given)
        raise error

    @task_function(name="tests.progress.speaks")
    def speaks() -> str:
        context.set_progress(0.5)
        wait_until(lambda: heard)
        return "done"

    courier.set_progress = refuse
    task_id = courier.add_task_to_queue(Q, {"function": speaks})
    run_queue(courier, ClassicWorker, queue_name=Q)
    assert courier.get_task_result(Q, task_id) == "done"


def test_a_fraction_that_is_no_number_is_told_to_the_function(courier: Any) -> None:
    worker = BaseWorker(courier, queue_name=Q)
    with pytest.raises(ValueError, match="could not convert"):
        worker.set_progress(UUID(int=1), "half")  # type: ignore[arg-type]
