"""The awaitable couriers have the methods of the blocking ones, and say the same of them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from task_helpers.couriers import base, base_async, memory, redis

PLAIN = {"are_suspects", "get_attempt"}
FACES = [
    (base.TaskCourier, base_async.AsyncTaskCourier),
    (base.ClientTaskCourier, base_async.AsyncClientTaskCourier),
    (base.WorkerTaskCourier, base_async.AsyncWorkerTaskCourier),
    (base.ClientWorkerTaskCourier, base_async.AsyncClientWorkerTaskCourier),
]


def methods(face: type) -> dict[str, object]:
    found = inspect.getmembers(face, inspect.isfunction)
    return {name: member for name, member in found if name[0] != "_"}


def _parameters(method: Any) -> Any:
    return inspect.signature(method).parameters


def _is_awaitable(method: object) -> bool:
    return inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)


@pytest.mark.parametrize(("face", "own"), FACES, ids=[own.__name__ for _, own in FACES])
def test_the_same_methods_as_coroutines(face: type, own: type) -> None:
    blocking, twins = methods(face), methods(own)
    assert blocking.keys() - {"awaitable", "leave_thread"} == twins.keys() - {"blocking"}
    for name in blocking.keys() & twins.keys():
        assert _is_awaitable(twins[name]) or name in PLAIN
        assert _parameters(twins[name]) == _parameters(blocking[name])
        assert twins[name].__doc__


def test_docstrings_are_those_of_the_blocking_methods() -> None:
    call = base_async.AsyncClientTaskCourier.call
    assert call.__doc__ == base.ClientTaskCourier.call.__doc__
    assert base_async.AsyncWorkerTaskCourier.__doc__ == base.WorkerTaskCourier.__doc__


@pytest.mark.parametrize("role", ["Client", "Worker", "ClientWorker"])
@pytest.mark.parametrize(("module", "name"), [(memory, "Memory"), (redis, "Redis")])
def test_each_blocking_courier_has_its_twin(role: str, module: object, name: str) -> None:
    kind = getattr(module, f"{name}{role}TaskCourier")
    assert kind._twin.__name__ == f"{name}Async{role}TaskCourier"


def test_the_twin_has_the_same_options_and_store() -> None:
    courier = memory.MemoryClientTaskCourier(result_ttl=7, max_queue_length=3)
    twin = courier.awaitable()
    assert twin.options == courier.options
    assert twin.server is courier.server


def test_a_courier_without_twin_says_so() -> None:
    class Own(base.TaskCourier):
        def __init__(self) -> None:
            pass

    with pytest.raises(TypeError, match="no awaitable courier for a Own"):
        Own().awaitable()
