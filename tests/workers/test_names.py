"""What is in a worker's class: fields that are set, misspelt or of the wrong kind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.tasks import Task
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.base_async import BaseAsyncWorker
from task_helpers.workers.classic import ClassicWorker
from task_helpers.workers.classic_async import ClassicAsyncWorker
from task_helpers.workers.threaded import ThreadedWorker

Q = "names"


class Echo(BaseWorker):
    queue_name = Q

    def perform_tasks(self, tasks: list[Task]) -> Any:
        return tasks


class AsyncEcho(BaseAsyncWorker):
    queue_name = Q

    async def perform_tasks(self, tasks: list[Task]) -> Any:
        return tasks


@pytest.fixture
def courier() -> MemoryClientWorkerTaskCourier:
    return MemoryClientWorkerTaskCourier()


class Client:
    """A class as the value of a field."""


class Fields(Echo):
    client_class = Client
    weigh: Callable[[str], int] = staticmethod(len)
    note: str

    @property
    def shout(self) -> str:
        return "!"

    def help(self) -> None: ...


def test_a_class_is_a_value_and_no_method(courier: Any) -> None:
    # given fields that have values which can be called
    # when they are given others, then these are used
    worker = Fields(courier, client_class=dict, weigh=abs)
    assert (worker.client_class, worker.weigh(-3)) == (dict, 3)
    assert Fields.client_class is Client
    # but what is to be overridden is no field
    for name in ("help", "shout", "perform_tasks"):
        with pytest.raises(TypeError, match=f"{name} is a method of Fields: override it"):
            Fields(courier, **{name: 5})


def test_names_of_fields() -> None:
    assert Fields.field_names() - Echo.field_names() == {"client_class", "weigh", "note"}
    assert {"linger", "queue_name", "burst"} < Echo.field_names()
    assert not {"perform", "ended_by", "_name", "field_names"} & Echo.field_names()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"max_tasks_per_iteration": "8"}, "max_tasks_per_iteration must be a whole number from 1"),
        ({"max_tasks_per_iteration": 0.5}, "max_tasks_per_iteration must be a whole number from 1"),
        ({"max_tasks": "8"}, "max_tasks must be a whole number above 0, not '8'"),
        ({"max_tasks": 0}, "max_tasks must be a whole number above 0, not 0"),
        ({"max_rss": "1G"}, "max_rss must be a number of MiB above 0, not '1G'"),
        ({"max_rss": 0}, "max_rss must be a number of MiB above 0, not 0"),
        ({"burst": "no"}, "burst must be True or False, not 'no'"),
        ({"needs_result_returning": None}, "needs_result_returning must be True or False"),
        ({"on_batch_error": ["split"]}, "on_batch_error must be one of"),
        ({"queue_name": 5}, "5 is not a queue name"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_one_line(courier: Any, fields: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        Echo(courier, **fields).check_fields()
    assert "\n" not in str(caught.value)


# --- Nothing to perform


@pytest.mark.parametrize("kind", [BaseWorker, ThreadedWorker, BaseAsyncWorker])
def test_a_worker_that_performs_nothing_does_not_start(courier: Any, kind: Any) -> None:
    # given a worker whose method has another name than it should
    class Idle(kind):
        queue_name = Q

        def perform_task(self, task: Task) -> Any: ...

    task_id = courier.add_task_to_queue(Q, 1)
    # when it is started, then it says so, and fails no task
    with pytest.raises(ValueError, match=r"^override perform_tasks or perform_single"):
        Idle(courier, burst=True).perform()
    assert courier.get_task_status(Q, task_id) == "waiting"


@pytest.mark.parametrize("kind", [ClassicWorker, ClassicAsyncWorker, Echo, AsyncEcho])
def test_a_worker_that_performs_something_starts(courier: Any, kind: Any) -> None:
    kind(courier, queue_name=Q).check_fields()


def test_methods_may_come_of_a_mixin_or_of_the_object(courier: Any) -> None:
    class Mixin:
        def perform_single_task(self, task: Task) -> Any:
            return task[1]

    class Mixed(Mixin, BaseWorker):
        queue_name = Q

    Mixed(courier).check_fields()
    worker = BaseWorker(courier, queue_name=Q)
    worker.perform_tasks = lambda tasks: tasks  # type: ignore[method-assign]
    worker.check_fields()


@pytest.mark.parametrize("name", ["perform_tasks", "perform_single_task"])
@pytest.mark.parametrize("kind", [BaseWorker, BaseAsyncWorker])
def test_an_async_generator_is_told_to_return(courier: Any, kind: Any, name: str) -> None:
    async def perform(self: Any, tasks: Any) -> Any:
        for task in tasks:
            yield task

    yielding = type("Yielding", (kind,), {"queue_name": Q, name: perform})
    complaint = f"{name} of Yielding is an async generator: return its results instead"
    with pytest.raises(ValueError, match=complaint):
        yielding(courier, burst=True).perform()


@pytest.mark.parametrize("name", ["perform_tasks", "perform_single_task"])
def test_a_coroutine_is_for_workers_that_await(courier: Any, name: str) -> None:
    async def perform(self: Any, tasks: Any) -> Any:
        return tasks

    def of(kind: Any) -> Any:
        return type("Awaiting", (kind,), {"queue_name": Q, name: perform})(courier, burst=True)

    with pytest.raises(ValueError, match=f"{name} of Awaiting is a coroutine: extend BaseAsync"):
        of(BaseWorker).perform()
    of(BaseAsyncWorker).perform()


# --- Slips of the pen


SLIPS = [
    ("max_task_per_iteration", "max_tasks_per_iteration"),
    ("on_batch_eror", "on_batch_error"),
    ("retry_om", "retry_on"),
    ("lingr", "linger"),
    ("max_attempt", "max_attempts"),
]


@pytest.mark.parametrize(
    ("base", "name", "meant"),
    [
        *((base, *slip) for base in (Echo, AsyncEcho) for slip in SLIPS),
        (ClassicWorker, "thread", "threads"),
        (AsyncEcho, "max_concurent_batches", "max_concurrent_batches"),
    ],
)
def test_a_misspelt_field_is_said_at_the_start(
    courier: Any, caplog: pytest.LogCaptureFixture, base: Any, name: str, meant: str
) -> None:
    # given a slip of the pen in a class, and in what is given to a worker
    slipped = type("Slipped", (base,), {"queue_name": Q, name: 5})
    given = base(courier, queue_name=Q, burst=True, **{name: 5})
    for worker in (slipped(courier, burst=True), given):
        caplog.clear()
        # when it works, then one line of the log says what was meant
        with caplog.at_level(logging.WARNING, "task_helpers.workers"):
            worker.perform()
        kind = type(worker).__qualname__
        assert caplog.messages == [f"{kind} has {name}: did you mean {meant}?"]


def test_fields_of_ones_own_are_no_slips(courier: Any) -> None:
    class Own(Echo):
        timeout = 5
        max_batch_size = 5
        min_retry_delay = 5
        max_rows = 5
        url: str

        def perform_task(self, task: Task) -> Any: ...

        def queue_names(self) -> Any: ...

    worker = Own(courier, api_key="x", burst=True)
    worker.hard_limit = 5
    worker.perform()
    assert worker.get_field_concerns() == []
