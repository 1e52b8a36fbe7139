"""A worker that performs several tasks at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from task_helpers import context
from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.exceptions import CourierError, CourierUnavailable, PerformTaskError
from task_helpers.tasks import Task, TaskStatus
from task_helpers.workers import _held, _outages, base
from task_helpers.workers._leases import LeaseKeeper
from task_helpers.workers.classic import ClassicWorker
from tests.support.waiting import in_thread, wait_until

Q = "work"


class Gated(ClassicWorker):
    """A task is the name of a gate that it waits for, or the result itself."""

    queue_name = Q
    threads = 3

    def __init__(self, courier: Any, **fields: Any) -> None:
        super().__init__(courier, **fields)
        self.running: list[Any] = []
        self.most = 0
        self.left: list[int] = []
        self.gates: dict[str, threading.Event] = {}

    def gate(self, name: str) -> threading.Event:
        return self.gates.setdefault(name, threading.Event())

    def perform_single_task(self, task: Task) -> Any:
        self.running.append(task[1])
        self.most = max(self.most, len(self.running))
        try:
            return self.perform_one(task[1])
        finally:
            self.running.remove(task[1])

    def perform_one(self, data: Any) -> Any:
        if isinstance(data, str):
            assert self.gate(data).wait(10)
        if data == -1:
            raise KeyboardInterrupt
        return data

    def destroy_thread(self) -> None:
        self.left.append(threading.get_ident())


@pytest.fixture
def run(courier: Any) -> Iterator[Any]:
    """Starts a worker beside the test, which is over when all its gates are open."""
    workers: list[tuple[Gated, Any]] = []

    def start(total_iterations: int | None = None, **fields: Any) -> Gated:
        worker = Gated(courier, **fields)
        workers.append((worker, in_thread(worker.perform, total_iterations)))
        return worker

    yield start
    for worker, done in workers:
        worker.stop()
        for gate in worker.gates.values():
            gate.set()
        done.result(10)


def test_no_slow_task_holds_up_others(courier: Any, run: Any) -> None:
    # given two tasks that last, and many quick ones behind them
    slow = courier.bulk_add_tasks_to_queue(Q, ["a", "b"])
    quick = courier.bulk_add_tasks_to_queue(Q, range(50))
    # when a worker with three threads has them
    worker = run()
    # then the quick ones have their results while the slow ones run
    assert courier.bulk_wait_for_task_results(Q, quick, timeout=10) == list(range(50))
    assert sorted(worker.running) == ["a", "b"]
    assert [courier.get_task_status(Q, i) for i in slow] == [TaskStatus.RUNNING] * 2
    # and these have theirs as soon as they end, one by one
    worker.gate("b").set()
    assert courier.wait_for_task_result(Q, slow[1], timeout=10) == "b"
    assert courier.get_task_status(Q, slow[0]) == TaskStatus.RUNNING


def test_it_takes_only_what_it_can_begin(courier: Any, run: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, ["a", "b", "c", "d", "e"])
    worker = run()
    wait_until(lambda: len(worker.running) == 3)
    assert [courier.get_task_status(Q, i) for i in task_ids[3:]] == [TaskStatus.WAITING] * 2
    worker.gate("b").set()
    wait_until(lambda: sorted(worker.running) == ["a", "c", "d"])
    assert courier.get_task_status(Q, task_ids[4]) == TaskStatus.WAITING


def test_results_that_are_ready_together_are_returned_together(courier: Any, run: Any) -> None:
    # given a store that is busy with the first result
    returned: list[list[Any]] = []
    is_free, give = threading.Event(), courier.bulk_return_task_results

    def slowly(queue: str, tasks: list[Task], policy: Any) -> None:
        returned.append([result for _, result in tasks])
        assert is_free.wait(10)
        give(queue, tasks, policy)

    courier.bulk_return_task_results = slowly
    courier.bulk_add_tasks_to_queue(Q, ["a", "b", "c"])
    worker = run()
    wait_until(lambda: len(worker.running) == 3)
    worker.gate("a").set()
    wait_until(lambda: returned)
    # when others end meanwhile
    worker.gate("b").set()
    worker.gate("c").set()
    wait_until(lambda: not worker.running)
    is_free.set()
    # then the next call has theirs
    wait_until(lambda: len(returned) > 1)
    assert returned[0] == ["a"]
    assert sorted(returned[1]) == ["b", "c"]


def test_a_task_that_fails_leaves_the_others(courier: Any, run: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, [1, -1, 2])
    run()
    results = courier.bulk_wait_for_task_results(Q, task_ids, timeout=10, return_exceptions=True)
    assert (results[0], results[2]) == (1, 2)
    assert isinstance(results[1], PerformTaskError)
    assert "KeyboardInterrupt" in results[1].message


def test_failed_tasks_are_tried_again(courier: Any) -> None:
    class Flaky(ClassicWorker):
        queue_name = Q
        threads, max_attempts, retry_delay, max_tasks = 2, 2, 0, 8

        def perform_single_task(self, task: Task) -> int:
            if context.attempt == 1:
                raise ValueError
            return context.attempt

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(4))
    in_thread(Flaky(courier).perform).result(10)
    assert courier.bulk_wait_for_task_results(Q, task_ids, timeout=0) == [2] * 4


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("fields", "performed", "cause"),
    [
        ({"burst": True}, 20, base.Ended.NO_TASK),
        ({"max_tasks": 7}, 7, base.Ended.MAX_TASKS),
        ({"max_tasks": 20, "burst": True}, 20, base.Ended.MAX_TASKS),
    ],
)
def test_what_ends_a_worker(
    courier: Any, threads: int, fields: Any, performed: int, cause: Any
) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(20))
    worker = Gated(courier, threads=threads, **fields)
    in_thread(worker.perform).result(10)
    assert sum(courier.check_for_done(Q, i) for i in task_ids) == performed
    assert (worker.tasks_performed, worker.ended_by) == (performed, cause)


def test_an_iteration_is_one_take(courier: Any, run: Any) -> None:
    courier.bulk_add_tasks_to_queue(Q, ["a", "b", "c", "d"])
    worker = run(1)
    wait_until(lambda: len(worker.running) == 3)
    for name in "abc":
        worker.gate(name).set()
    wait_until(lambda: worker.ended_by)
    assert (worker.iterations_performed, worker.tasks_performed) == (1, 3)
    assert courier.get_queue_stats(Q).waiting == 1


def test_a_burst_performs_what_its_last_task_adds(courier: Any) -> None:
    class Adding(ClassicWorker):
        queue_name = Q
        threads, burst = 4, True

        def perform_single_task(self, task: Task) -> int:
            if task[1]:
                courier.add_task_to_queue(Q, task[1] - 1)
            return int(task[1])

    courier.add_task_to_queue(Q, 30)
    worker = Adding(courier)
    in_thread(worker.perform).result(10)
    assert worker.tasks_performed == 31


def test_to_stop_is_to_finish_what_runs(courier: Any, run: Any) -> None:
    # given a worker with three tasks at hand, and others that wait
    task_ids = courier.bulk_add_tasks_to_queue(Q, ["a", "b", "c", "d"])
    worker = run()
    wait_until(lambda: len(worker.running) == 3)
    # when it is to stop, and a task ends
    worker.stop()
    worker.gate("a").set()
    assert courier.wait_for_task_result(Q, task_ids[0], timeout=10) == "a"
    # then it takes no other, and ends with the last of them
    for name in "bc":
        worker.gate(name).set()
    assert courier.bulk_wait_for_task_results(Q, task_ids[1:3], timeout=10) == ["b", "c"]
    wait_until(lambda: worker.ended_by == base.Ended.STOPPED)
    assert courier.get_task_status(Q, task_ids[3]) == TaskStatus.WAITING
    wait_until(lambda: len(worker.left) == 4)  # three threads, and the one that returns results
    assert len(set(worker.left)) == 4


def test_the_leases_of_all_that_is_at_hand_are_renewed() -> None:
    # given a worker with three tasks, taken one by one
    courier = MemoryClientWorkerTaskCourier(lease=0.6)
    renewed: list[set[UUID]] = []
    renew = courier.renew_leases

    def spy(queue: str, name: str, task_ids: Any = None) -> None:
        renewed.append(set(task_ids))
        renew(queue, name, task_ids)

    courier.renew_leases = spy  # type: ignore[method-assign]
    worker = Gated(courier)
    done = in_thread(worker.perform)
    held = set()
    for name in "abc":
        held.add(courier.add_task_to_queue(Q, name))
        wait_until(lambda: len(worker.running) == len(held))
    # when time passes, then each renewal is for all of them, also when one has ended for the others
    wait_until(lambda: held in renewed)
    worker.gate("b").set()
    wait_until(lambda: len(renewed[-1]) == 2)
    worker.stop()
    for name in "ac":
        worker.gate(name).set()
    done.result(10)


def test_suspects_are_performed_with_nothing_beside_them(courier: Any, run: Any) -> None:
    # given two tasks whose worker died, and a worker that performs two others
    suspects = courier.bulk_add_tasks_to_queue(Q, [1, 2])
    dead = MemoryClientWorkerTaskCourier(courier.server)
    assert len(dead.get_tasks(Q)) == 2
    courier.bulk_add_tasks_to_queue(Q, ["a"])
    worker = run(threads=8)
    wait_until(lambda: worker.running == ["a"])
    courier.reclaim_tasks_of(Q, dead.worker_id)
    # when it takes the first of them, then it waits until all else is done
    wait_until(lambda: courier.get_task_status(Q, suspects[0]) == TaskStatus.RUNNING)
    others = courier.bulk_add_tasks_to_queue(Q, range(10))
    assert worker.running == ["a"]
    assert not courier.check_for_done(Q, suspects[0])
    # and performs them one by one, then the others
    worker.most = 0
    worker.gate("a").set()
    assert courier.bulk_wait_for_task_results(Q, suspects, timeout=10) == [1, 2]
    assert courier.bulk_wait_for_task_results(Q, others, timeout=10) == list(range(10))


def test_suspects_that_wait_are_given_back_when_the_worker_is_to_stop(
    courier: Any, run: Any
) -> None:
    [suspect] = courier.bulk_add_tasks_to_queue(Q, [1])
    dead = MemoryClientWorkerTaskCourier(courier.server)
    dead.get_tasks(Q)
    courier.add_task_to_queue(Q, "a")
    worker = run()
    wait_until(lambda: worker.running == ["a"])
    courier.reclaim_tasks_of(Q, dead.worker_id)
    wait_until(lambda: courier.get_task_status(Q, suspect) == TaskStatus.RUNNING)
    worker.stop()
    wait_until(lambda: courier.get_task_status(Q, suspect) == TaskStatus.WAITING)
    assert worker.running == ["a"]


def test_results_wait_for_a_store_that_is_away(
    courier: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that is away when results come
    monkeypatch.setattr(_outages, "PAUSE", 0.01)
    is_back, give, tried = threading.Event(), courier.bulk_return_task_results, []

    def away(queue: str, tasks: list[Task], policy: Any) -> None:
        tried.append(tasks)
        if not is_back.is_set():
            raise CourierUnavailable("away")
        give(queue, tasks, policy)

    courier.bulk_return_task_results = away
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(20))
    worker = run()
    wait_until(lambda: len(tried) > 5)
    # when it is back, then every task has its result, and none was performed twice
    assert worker.tasks_performed <= 6  # twice as many as threads: results do not pile up
    is_back.set()
    assert courier.bulk_wait_for_task_results(Q, task_ids, timeout=10) == list(range(20))
    assert worker.tasks_performed == 20


def test_results_that_the_store_refuses_are_left_to_their_lease(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given a store that refuses one result
    monkeypatch.setattr(_outages, "PAUSE", 0.01)
    courier = MemoryClientWorkerTaskCourier(lease=0.2)
    give = courier.bulk_return_task_results

    def picky(queue: str, tasks: list[Task], policy: Any) -> None:  # type: ignore[override]
        if (refused, "refused") in tasks:
            raise CourierError("WRONGTYPE")
        give(queue, tasks, policy)

    courier.bulk_return_task_results = picky  # type: ignore[method-assign, assignment]
    refused = courier.add_task_to_queue(Q, "refused")
    worker = Gated(courier, max_tasks=1)
    worker.gate("refused").set()
    # when the worker has tried for a lease, then it goes on without it
    in_thread(worker.perform).result(10)
    assert "1 result of queue work could not be returned: WRONGTYPE" in caplog.text


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", 1_001])
def test_threads_are_a_number(courier: Any, threads: Any) -> None:
    with pytest.raises(ValueError, match="threads must be"):
        ClassicWorker(courier, queue_name=Q, threads=threads).check_fields()


def test_threads_have_no_batches_to_learn_from(courier: Any) -> None:
    worker = ClassicWorker(courier, queue_name=Q, linger="auto", target_latency=1, threads=2)
    with pytest.raises(ValueError, match='linger = "auto" is for batches: not with threads = 2'):
        worker.check_fields()


def test_each_task_has_the_whole_time_of_a_batch(
    courier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given two tasks at hand, of which one began a minute before the other
    now, ended = [0.0], []
    monkeypatch.setattr(_held, "time", SimpleNamespace(monotonic=lambda: now[0]))
    held = _held.Held()
    keeper = LeaseKeeper(courier, Q, "name", held, max_batch_seconds=100)
    monkeypatch.setattr(keeper, "_end_process", lambda: ended.append(now[0]))
    first, second, third = [UUID(int=1)], [UUID(int=2)], [UUID(int=3)]
    held.begins(first)
    now[0] = 60
    for later in (second, third):
        held.begins(later)
    # when time passes and they end, or wait for the store, in time
    held.waits(first)
    for moment in (99, 100, 159):
        now[0] = moment
        keeper.step()
    held.ends(second)
    assert ended == []
    # then only the one that is still performed when its own time is over ends the process
    now[0] = 160
    keeper.step()
    assert ended == [160]
