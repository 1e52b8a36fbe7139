"""`BaseAsyncWorker` and `ClassicAsyncWorker`: what differs from the blocking ones."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any
from uuid import UUID

import pytest
import redis

from task_helpers import exceptions
from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.couriers.memory_async import MemoryAsyncWorkerTaskCourier
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.couriers.redis_async import RedisAsyncWorkerTaskCourier
from task_helpers.registry import Registry
from task_helpers.tasks import TaskStatus
from task_helpers.workers._threads import Threads
from task_helpers.workers.base import BaseWorker, Ended
from task_helpers.workers.base_async import BaseAsyncWorker
from task_helpers.workers.classic_async import ClassicAsyncWorker
from tests.support.waiting import PATIENCE, in_thread, wait_until

Q = "work"


class Worker(BaseAsyncWorker):
    queue_name = Q
    burst = True


class Echo(Worker):
    async def perform_tasks(self, tasks: Any) -> Any:
        await asyncio.sleep(0)
        return tasks


def ended(courier: Any, task_ids: Any) -> list[Any]:
    return courier.bulk_wait_for_task_results(Q, task_ids, timeout=0, return_exceptions=True)


# --- Several batches at the same time


@pytest.mark.parametrize("plain", [False, True], ids=["coroutines", "threads"])
def test_batches_are_performed_side_by_side(courier: Any, plain: bool) -> None:
    # given a worker whose batches end when three of them have begun
    together = threading.Barrier(3)

    class Together(Worker):
        max_tasks_per_iteration = 2
        max_concurrent_batches = 3

        async def perform_tasks(self, tasks: Any) -> Any:
            await asyncio.get_running_loop().run_in_executor(None, together.wait, 5)
            return tasks

    class InThreads(Together):
        def perform_tasks(self, tasks: Any) -> Any:  # type: ignore[override]
            together.wait(5)
            return tasks

    # when it performs six tasks
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(6))
    worker = (InThreads if plain else Together)(courier)
    worker.perform()
    # then all were answered, in three batches
    assert ended(courier, task_ids) == list(range(6))
    assert (worker.iterations_performed, worker.tasks_performed) == (3, 6)
    assert worker.ended_by is Ended.NO_TASK


def test_no_more_batches_than_it_may(courier: Any) -> None:
    class Counting(Worker):
        max_tasks_per_iteration = 1
        max_concurrent_batches = 2
        now = most = 0

        async def perform_tasks(self, tasks: Any) -> Any:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1
            return tasks

    courier.bulk_add_tasks_to_queue(Q, range(20))
    worker = Counting(courier)
    worker.perform()
    assert worker.most == 2


def test_single_tasks_of_a_batch_are_performed_side_by_side(courier: Any) -> None:
    class Single(Worker):
        async def perform_single_task(self, task: Any) -> Any:
            await asyncio.sleep(0.05)
            return 1 // task[1]

    task_ids = courier.bulk_add_tasks_to_queue(Q, [1, 0, *[1] * 98])
    began = time.monotonic()
    Single(courier).perform()
    assert time.monotonic() - began < 2
    first, failed, *others = ended(courier, task_ids)
    assert (first, set(others)) == (1, {1})
    assert failed.exception_type == "ZeroDivisionError"


# --- Plain functions in threads


@pytest.mark.parametrize("error", [StopIteration(), ValueError("no"), SystemExit(3)])
def test_what_is_raised_in_a_thread_fails_its_task_alone(courier: Any, error: Any) -> None:
    class Failing(Worker):
        def perform_single_task(self, task: Any) -> Any:  # type: ignore[override]
            if task[1] == 0:
                raise error
            return task[1]

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))
    in_thread(Failing(courier).perform).result(10)
    failed, done = ended(courier, task_ids)
    assert type(failed) is exceptions.PerformTaskError
    assert done == 1


def test_no_more_threads_than_batches(courier: Any) -> None:
    class Counting(Worker):
        max_concurrent_batches = 2
        names: set[str] = set()

        def perform_single_task(self, task: Any) -> Any:  # type: ignore[override]
            self.names.add(threading.current_thread().name)

    courier.bulk_add_tasks_to_queue(Q, range(20))
    Counting(courier).perform()
    assert Counting.names <= {f"task_helpers {Q} 1", f"task_helpers {Q} 2"}


def test_a_thread_that_cannot_be_started_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # given threads of a system that has no room for one
    threads = Threads(3, "roomless")

    async def calls() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_room)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await threads.call(os.getpid)
        # when there is room for one only
        assert await asyncio.wait_for(threads.call(os.getpid), PATIENCE) == os.getpid()
        monkeypatch.setattr(threading.Thread, "start", no_room)
        # then that one does what is to be done
        several = asyncio.gather(*(threads.call(os.getpid) for _ in range(5)))
        assert await asyncio.wait_for(several, PATIENCE) == [os.getpid()] * 5

    asyncio.run(calls())
    threads.dismiss()


def no_room(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_an_interpreter_that_ends_waits_for_no_function() -> None:
    # given a worker that is interrupted in the middle of a function which does not end
    program = """
        import os, signal, threading
        from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
        from task_helpers.workers.base_async import BaseAsyncWorker

        class Stuck(BaseAsyncWorker):
            queue_name = "work"

            def perform_single_task(self, task):
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait()

        courier = MemoryClientWorkerTaskCourier()
        task_id = courier.add_task_to_queue("work", 1)
        try:
            Stuck(courier).perform()
        except KeyboardInterrupt:
            print(courier.get_task_status("work", task_id))
    """
    # when it has given the task back, then the process ends
    command = [sys.executable, "-c", textwrap.dedent(program)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert ended.stdout == "waiting\n"


# --- What becomes of a batch


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError()])
def test_what_is_raised_fails_the_batch_and_not_the_worker(courier: Any, error: Any) -> None:
    class Failing(Worker):
        max_tasks_per_iteration = 1

        async def perform_tasks(self, tasks: Any) -> Any:
            if tasks[0][1] == 0:
                raise error
            return tasks

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))
    Failing(courier).perform()
    failed, done = ended(courier, task_ids)
    assert type(failed) is exceptions.PerformTaskError
    assert done == 1


def test_a_batch_that_raises_is_split(courier: Any) -> None:
    class Splitting(Worker):
        on_batch_error = "split"

        async def perform_tasks(self, tasks: Any) -> Any:
            return [(task_id, 1 / number) for task_id, number in tasks]

    task_ids = courier.bulk_add_tasks_to_queue(Q, [1, 0, 1, 1])
    Splitting(courier).perform()
    first, failed, *others = ended(courier, task_ids)
    assert (first, others) == (1, [1, 1])
    assert failed.exception_type == "ZeroDivisionError"


def test_setup_and_destroy_may_be_coroutines(courier: Any) -> None:
    class Noting(Echo):
        async def setup(self) -> None:  # type: ignore[override]
            self.notes = ["setup"]

        async def destroy(self) -> None:  # type: ignore[override]
            self.notes.append("destroy")

    worker = Noting(courier)
    worker.perform()
    assert worker.notes == ["setup", "destroy"]


def test_plain_ones_are_called_in_a_thread_of_theirs(courier: Any) -> None:
    # given a worker that opens something that only the thread may use that made it
    called = dict[str, Any]()

    class Plain(Echo):
        def setup(self) -> None:
            called["setup"] = threading.current_thread()
            assert not is_in_a_loop()

        def destroy(self) -> None:
            called["destroy"] = threading.current_thread()

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))
    Plain(courier).perform()
    # then no event loop waits for it, and the thread that made it ends it, and itself
    assert ended(courier, task_ids) == [0, 1]
    assert called["setup"] is called["destroy"] is not threading.current_thread()
    called["setup"].join(PATIENCE)
    assert not called["setup"].is_alive()


def is_in_a_loop() -> bool:
    try:
        return bool(asyncio.get_running_loop())
    except RuntimeError:
        return False


def test_an_error_of_a_plain_setup_is_that_of_perform(courier: Any) -> None:
    class Broken(Echo):
        def setup(self) -> None:
            raise ZeroDivisionError

        def destroy(self) -> None:
            raise AssertionError("it was not set up")

    with pytest.raises(ZeroDivisionError):
        Broken(courier).perform()


def test_a_worker_that_leaves_now_is_destroyed_though_its_threads_are_stuck(courier: Any) -> None:
    # given a worker all of whose threads are in a function that does not end
    begun, gate, destroyed = threading.Event(), threading.Event(), threading.Event()

    class Stuck(Worker):
        max_concurrent_batches = 1

        def perform_tasks(self, tasks: Any) -> Any:  # type: ignore[override]
            begun.set()
            gate.wait(60)

        def destroy(self) -> None:
            destroyed.set()

    async def cancel() -> None:
        performing = asyncio.create_task(Stuck(courier).perform_async())
        await asyncio.to_thread(begun.wait, PATIENCE)
        performing.cancel()
        await asyncio.wait([performing], timeout=PATIENCE)

    courier.add_task_to_queue(Q, 1)
    asyncio.run(cancel())
    # when it is to leave now, then it does
    assert destroyed.is_set()
    gate.set()


def test_a_plain_generator_runs_in_a_thread(courier: Any) -> None:
    # given a worker whose body is a generator that waits
    class Lazy(Worker):
        def perform_tasks(self, tasks: Any) -> Any:  # type: ignore[override]
            for task_id, number in tasks:
                assert not is_in_a_loop()
                if number == 2:
                    raise ValueError("two")
                yield task_id, number

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(4))
    Lazy(courier, on_batch_error="split").perform()
    # then it holds no event loop up, and what it raises is found as ever
    zero, one, two, three = ended(courier, task_ids)
    assert (zero, one, three) == (0, 1, 3)
    assert two.message == "two"


def test_results_that_nobody_wants_are_not_stored(courier: Any) -> None:
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))
    Echo(courier, needs_result_returning=False).perform()
    assert not any(courier.check_for_done(Q, task_id) for task_id in task_ids)


# --- How long it works


def test_it_ends_after_its_iterations_and_its_tasks(courier: Any) -> None:
    courier.bulk_add_tasks_to_queue(Q, range(10))
    worker = Echo(courier, max_tasks_per_iteration=2)
    worker.perform(2)
    assert (worker.tasks_performed, worker.ended_by) == (4, Ended.ITERATIONS)
    worker = Echo(courier, max_tasks_per_iteration=2, max_tasks=3)
    worker.perform()
    assert (worker.tasks_performed, worker.ended_by) == (3, Ended.MAX_TASKS)
    assert courier.get_queue_stats(Q).waiting == 3


def test_a_stop_lets_the_batches_at_hand_end(courier: Any) -> None:
    # given a worker with two batches at hand
    begun, go_on = list[UUID](), threading.Event()

    class Held(Worker):
        burst = False
        max_tasks_per_iteration = 1
        max_concurrent_batches = 2

        async def perform_tasks(self, tasks: Any) -> Any:
            begun.append(tasks[0][0])
            while not go_on.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            return tasks

    worker = Held(courier)
    run = in_thread(worker.perform)
    task_ids = courier.bulk_add_tasks_to_queue(Q, range(5))
    wait_until(lambda: len(begun) == 2)
    # when it is told to stop
    worker.stop()
    go_on.set()
    run.result(5)
    # then these were answered, and the others wait
    assert ended(courier, task_ids[:2]) == [0, 1]
    assert worker.ended_by is Ended.STOPPED
    assert courier.get_queue_stats(Q)[:4] == (3, 0, 0, 0)


def test_suspects_that_wait_are_given_back_when_the_worker_is_to_stop(courier: Any) -> None:
    # given a worker with a batch at hand, and a task that waits to be performed alone
    [suspect] = courier.bulk_add_tasks_to_queue(Q, ["suspect"])
    dead = MemoryClientWorkerTaskCourier(courier.server)
    dead.get_tasks(Q)
    begun, go_on = list[Any](), threading.Event()

    class Held(Worker):
        burst = False

        async def perform_tasks(self, tasks: Any) -> Any:
            begun.extend(data for _, data in tasks)
            while not go_on.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            return tasks

    worker = Held(courier)
    run = in_thread(worker.perform)
    courier.add_task_to_queue(Q, "other")
    wait_until(lambda: begun == ["other"])
    courier.reclaim_tasks_of(Q, dead.worker_id)
    wait_until(lambda: courier.get_task_status(Q, suspect) == TaskStatus.RUNNING)
    # when the worker is told to stop
    worker.stop()
    # then another one can have the task, at once
    wait_until(lambda: courier.get_task_status(Q, suspect) == TaskStatus.WAITING)
    go_on.set()
    run.result(5)
    assert begun == ["other"]


def test_a_cancelled_worker_gives_its_batches_back(courier: Any) -> None:
    class Stuck(Worker):
        max_tasks_per_iteration = 1

        async def perform_tasks(self, tasks: Any) -> Any:
            await asyncio.sleep(3600)

    async def main() -> None:
        worker = Stuck(courier)
        run = asyncio.create_task(worker.perform_async())
        while courier.get_queue_stats(Q).running < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert worker.tasks_performed == 0

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(3))
    asyncio.run(main())
    assert {task_id for task_id, _ in courier.get_tasks(Q)} == set(task_ids)


def test_a_batch_that_cancels_itself_holds_nobody_up(courier: Any) -> None:
    # given a batch that cancels its own asyncio task, and one that comes after it
    class Cancelling(Worker):
        max_tasks_per_iteration = 1
        max_concurrent_batches = 1

        async def perform_tasks(self, tasks: Any) -> Any:
            current = asyncio.current_task()
            if tasks[0][1] == "cancels" and current:
                current.cancel()
                await asyncio.sleep(0)
            return tasks

    cancelling, other = courier.bulk_add_tasks_to_queue(Q, ["cancels", "other"])
    # when the worker has performed both, then it ends, and has given back what has no result
    in_thread(Cancelling(courier).perform, 2).result(5)
    assert ended(courier, [other]) == ["other"]
    assert courier.get_tasks(Q) == [(cancelling, "cancels")]


# --- Leases and couriers


def test_an_error_after_a_cancellation_of_ones_own_is_an_error(courier: Any) -> None:
    # given a task whose library cancels it, and then raises what that means
    class Wrapped(Worker):
        async def perform_single_task(self, task: Any) -> Any:
            current = asyncio.current_task()
            assert current
            current.cancel()
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                raise ValueError("the connection was closed") from None

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(2))
    # when it is performed
    Wrapped(courier).perform()
    # then its caller has that error
    errors = ended(courier, task_ids)
    assert [error.exception_type for error in errors] == ["ValueError"] * 2


def test_a_blocked_event_loop_loses_no_lease(redis_url: str, prefix: str) -> None:
    # given a worker whose coroutine holds the loop up for longer than its lease
    courier = RedisClientWorkerTaskCourier(redis.Redis.from_url(redis_url), prefix=prefix)
    own = RedisAsyncWorkerTaskCourier(
        redis.asyncio.Redis.from_url(redis_url), prefix=prefix, lease=0.3
    )
    began, go_on = threading.Event(), threading.Event()

    class Blocking(Worker):
        async def perform_tasks(self, tasks: Any) -> Any:
            began.set()
            assert go_on.wait(10)
            return tasks

    task_ids = courier.bulk_add_tasks_to_queue(Q, range(10))
    run = in_thread(Blocking(own).perform, 1)
    assert began.wait(5)
    # when another one waits for work for three leases
    with pytest.raises(TimeoutError):
        courier.bulk_wait_for_tasks(Q, 10, timeout=0.9)
    # then it gets none, and the first one's results count
    go_on.set()
    run.result(5)
    assert ended(courier, task_ids) == list(range(10))
    courier.close()


def test_it_takes_blocking_and_awaitable_couriers(courier: Any) -> None:
    for own in (courier, MemoryAsyncWorkerTaskCourier(courier.server)):
        task_id = courier.add_task_to_queue(Q, 1)
        Echo(own).perform()
        assert ended(courier, [task_id]) == [1]


def test_a_blocking_worker_refuses_an_awaitable_courier() -> None:
    with pytest.raises(TypeError, match="is awaitable: use BaseAsyncWorker"):
        BaseWorker(MemoryAsyncWorkerTaskCourier())  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, -1, "2"])
def test_the_number_of_batches_is_checked(courier: Any, number: Any) -> None:
    with pytest.raises(ValueError, match="max_concurrent_batches"):
        Echo(courier, max_concurrent_batches=number).perform()


# --- Functions


class Functions:
    """A courier whose functions are called."""

    def __init__(self, courier: Any) -> None:
        self.registry = Registry()
        self._courier = courier

    def results(self, *calls: dict[str, Any]) -> list[Any]:
        task_ids = self._courier.bulk_add_tasks_to_queue(Q, calls)
        ClassicAsyncWorker(
            self._courier, queue_name=Q, burst=True, functions=self.registry
        ).perform()
        return ended(self._courier, task_ids)


@pytest.fixture
def functions(courier: Any) -> Functions:
    return Functions(courier)


def test_functions_are_awaited_or_called_in_a_thread(functions: Functions) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    def thread_of(_: int) -> str:
        return threading.current_thread().name

    functions.registry.register(double, "double")
    functions.registry.register(thread_of, "thread_of")
    doubled, thread = functions.results(
        {"function": "double", "args": (4,)}, {"function": "thread_of", "args": (4,)}
    )
    assert doubled == 8
    assert thread != threading.current_thread().name


def test_a_hundred_functions_wait_at_the_same_time(functions: Functions) -> None:
    async def wait() -> None:
        await asyncio.sleep(0.1)

    functions.registry.register(wait, "wait")
    began = time.monotonic()
    assert functions.results(*[{"function": "wait"}] * 100) == [None] * 100
    assert time.monotonic() - began < 5


def test_a_soft_limit_interrupts_a_coroutine(functions: Functions) -> None:
    async def slow() -> None:
        await asyncio.sleep(60)

    functions.registry.register(slow, "slow", soft_time_limit=0.05)
    [error] = functions.results({"function": "slow"})
    assert type(error) is exceptions.TimeLimitExceeded


def test_a_limit_that_it_cannot_keep_is_refused(functions: Functions) -> None:
    def plain() -> None: ...

    async def coroutine() -> None: ...

    functions.registry.register(plain, "plain", soft_time_limit=1)
    functions.registry.register(coroutine, "coroutine", time_limit=1)
    for error in functions.results({"function": "plain"}, {"function": "coroutine"}):
        assert "has a time limit that a ClassicAsyncWorker cannot keep" in error.message
