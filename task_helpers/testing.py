"""
For tests of code that adds tasks. Give that code a `MemoryClientWorkerTaskCourier`; nothing has to
run beside the test.

    def test_a_product_is_saved():
        courier = MemoryClientWorkerTaskCourier()
        task_id = add_product(courier, name="tomato")
        assert_enqueued(courier, "products", {"name": "tomato"})
        run_queue(courier, SaveWorker)
        assert courier.get_task_result("products", task_id)["status"] == "active"
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from task_helpers import ids
from task_helpers.couriers.base import TaskCourier, WorkerTaskCourier
from task_helpers.envelopes import open_envelope
from task_helpers.plurals import counted
from task_helpers.registry import with_function_names
from task_helpers.tasks import Task
from task_helpers.workers.base import BaseWorker

ANYTHING: Any = object()
"""The task_data that fits every task."""


def all_enqueued(courier: TaskCourier, queue_name: str) -> list[Task]:
    """
    The tasks [(task_id, task_data), ...] that no worker has taken, in the order in which they
    would be, the delayed ones last. They stay in the queue. `TypeError` for a courier over Redis.
    """
    if (listed := getattr(courier, "enqueued", None)) is None:
        kind = type(courier).__name__
        raise TypeError(f"the tasks of a {kind} cannot be listed: use a memory courier in tests")
    return [_opened(courier, *task) for task in listed(queue_name)]


def assert_enqueued(
    courier: TaskCourier, queue_name: str, task_data: Any = ANYTHING, *, count: int | None = None
) -> None:
    """
    Fails unless the queue holds tasks with this task_data that no worker has taken.

    - task_data - compared by ==, so `unittest.mock.ANY` may stand inside; ANYTHING by default. A
      registered function under "function" stands for its name, as where the task is added.
    - count - exactly how many, 0: none; None: one or more.
    """
    [task_data] = with_function_names([task_data])
    tasks = [data for _, data in all_enqueued(courier, queue_name)]
    found = sum(task_data is ANYTHING or data == task_data for data in tasks)
    if found == 0 if count is None else found != count:
        wanted = "some tasks" if count is None else counted(count, "task")
        like = "" if task_data is ANYTHING else f" {task_data!r}"
        raise AssertionError(
            f"expected {wanted}{like} in queue {queue_name} and found {found} among {tasks!r}"
        )


def run_queue(
    courier: WorkerTaskCourier, worker: BaseWorker | type[BaseWorker], **fields: Any
) -> int:
    """
    Performs all that waits in the worker's queue, in the calling thread, until there is no task to
    take now, and returns how many tasks that were. Delayed tasks that are not due stay.

    - worker - a worker of this courier, or a class to make one of with `fields` (such as
      queue_name). A task that fails does not raise here but where its result is read.
    """
    made = _made(courier, worker, fields)
    before, burst = made.tasks_performed, made.burst
    made.burst = True
    try:
        made.perform()
    finally:
        made.burst = burst
    return made.tasks_performed - before


@contextmanager
def running_worker(
    courier: WorkerTaskCourier, worker: BaseWorker | type[BaseWorker], **fields: Any
) -> Iterator[BaseWorker]:
    """
    A worker in a thread of its own for as long as the block lasts: for code that adds a task and
    waits for its result, such as `call`. Takes what `run_queue` takes, gives the worker. Closes the
    courier in the end, which opens new connections when it is used again: a test database can only
    be dropped when nobody listens to it.
    """
    made = _made(courier, worker, fields)
    name, arguments = "task_helpers running_worker", (courier, made)
    thread = threading.Thread(target=_perform, args=arguments, name=name, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join()
        courier.close()


def _perform(courier: WorkerTaskCourier, worker: BaseWorker) -> None:
    try:
        worker.perform()
    finally:
        courier.leave_thread()


def _made(
    courier: WorkerTaskCourier, worker: BaseWorker | type[BaseWorker], fields: dict[str, Any]
) -> BaseWorker:
    if isinstance(worker, type):
        return worker(courier, **fields)
    if fields or worker.task_courier != courier:  # a lazy one equals the one it stands for
        raise TypeError("give fields with a worker class, and a worker together with its courier")
    return worker


def _opened(courier: TaskCourier, task_id: bytes, envelope: bytes) -> Task:
    header, payload = open_envelope(envelope)
    return ids.to_uuid(task_id), courier.options.decoder(header.codec).loads(payload)
