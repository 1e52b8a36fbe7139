"""What is refused: by name, in one line, and with nothing changed."""

from __future__ import annotations

from typing import Any

import pytest

from task_helpers import exceptions, task_function
from tests.contract.backends import Stand

BAD_NAMES = ["", "with space", "ü", "a/b", "new\nline", "x" * 101, None, 7, b"bytes", "a{b}"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_every_method_refuses_a_name_that_is_none(stand: Stand, name: Any) -> None:
    courier = stand.both()
    task_id = courier.add_task_to_queue("good", 1)
    calls = [
        lambda: courier.add_task_to_queue(name, 1),
        lambda: courier.bulk_add_tasks_to_queue(name, [1]),
        lambda: courier.call(name, 1, timeout=1),
        lambda: courier.get_task_result(name, task_id),
        lambda: courier.wait_for_task_result(name, task_id, timeout=1),
        lambda: courier.bulk_wait_for_task_results(name, [task_id], timeout=1),
        lambda: courier.check_for_done(name, task_id),
        lambda: courier.get_task_status(name, task_id),
        lambda: courier.cancel_task(name, task_id),
        lambda: courier.get_queue_stats(name),
        lambda: courier.get_task(name),
        lambda: courier.get_tasks(name),
        lambda: courier.wait_for_task(name, timeout=1),
        lambda: courier.bulk_wait_for_tasks(name, 1, timeout=1),
        lambda: courier.return_task_result(name, task_id, 1),
        lambda: courier.bulk_return_task_results(name, [(task_id, 1)]),
        lambda: courier.acknowledge_tasks(name, [task_id]),
        lambda: courier.renew_leases(name, "worker"),
        lambda: courier.release_tasks(name),
        lambda: courier.say_farewell(name, "worker"),
    ]
    for call in calls:
        with pytest.raises(exceptions.InvalidQueueName, match="is not a queue name: use"):
            call()


def test_the_longest_name_will_do(client: Any, worker: Any) -> None:
    name = "aZ09_.:-" + "x" * 92
    client.add_task_to_queue(name, 1)
    assert worker.get_task(name)[1] == 1


def test_a_payload_over_the_limit_adds_nothing(stand: Stand, queue: str) -> None:
    client = stand.client(max_payload=100)
    with pytest.raises(exceptions.PayloadTooLarge, match="max_payload is 100"):
        client.add_task_to_queue(queue, "x" * 101)
    with pytest.raises(exceptions.PayloadTooLarge):
        client.bulk_add_tasks_to_queue(queue, ["small", "x" * 101])
    with pytest.raises(exceptions.PayloadTooLarge):
        client.call(queue, "x" * 101, timeout=1)
    assert stand.leftovers(queue) == []
    client.add_task_to_queue(queue, "x" * 90)


def test_a_payload_that_cannot_be_encoded_adds_nothing(
    stand: Stand, client: Any, queue: str
) -> None:
    with pytest.raises(exceptions.SerializationError, match="object"):
        client.add_task_to_queue(queue, {"a": [object()]})
    with pytest.raises(exceptions.SerializationError):
        client.bulk_add_tasks_to_queue(queue, [1, object()])
    assert stand.leftovers(queue) == []


def test_functions_go_by_the_name_they_are_registered_under(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    @task_function(name="contract.registered")
    def registered() -> None: ...

    def stranger() -> None: ...

    client.add_task_to_queue(queue, {"function": registered, "args": (1,)})
    assert worker.get_task(queue)[1] == {"function": "contract.registered", "args": (1,)}
    with pytest.raises(exceptions.UnknownFunction, match=r"stranger.*task_function"):
        client.add_task_to_queue(queue, {"function": stranger})
    assert client.get_queue_stats(queue).waiting == 0


def test_a_full_queue_takes_nothing_until_there_is_room(
    stand: Stand, worker: Any, queue: str
) -> None:
    # given a queue that may hold 1,500
    client = stand.client(max_queue_length=1500)
    # when more are added at once, more than one command holds
    with pytest.raises(exceptions.QueueFull, match="max_queue_length"):
        client.bulk_add_tasks_to_queue(queue, range(1501))
    # then none of them was
    assert stand.leftovers(queue) == []
    # and what fits is added, to the last one
    client.bulk_add_tasks_to_queue(queue, range(1499))
    with pytest.raises(exceptions.QueueFull):
        client.bulk_add_tasks_to_queue(queue, range(2))
    client.add_task_to_queue(queue, "last")
    with pytest.raises(exceptions.QueueFull):
        client.call(queue, "too many", timeout=1)
    # until tasks have ended
    worker.bulk_return_task_results(queue, worker.get_tasks(queue, 10))
    client.bulk_add_tasks_to_queue(queue, range(10))
    assert client.get_queue_stats(queue).waiting == 1500


@pytest.mark.parametrize("count", [1001, 2000, 3000])
def test_a_bulk_that_alone_is_over_the_bound_adds_nothing(
    stand: Stand, queue: str, count: int
) -> None:
    with pytest.raises(exceptions.QueueFull):
        stand.client(max_queue_length=1000).bulk_add_tasks_to_queue(queue, range(count))
    assert stand.leftovers(queue) == []


def test_delayed_and_running_tasks_count_too(stand: Stand, worker: Any, queue: str) -> None:
    client = stand.client(max_queue_length=2)
    client.add_task_to_queue(queue, 1)
    client.add_task_to_queue(queue, 2, delay=60)
    worker.get_task(queue)
    with pytest.raises(exceptions.QueueFull):
        client.add_task_to_queue(queue, 3)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lease", 0),
        ("lease", -1),
        ("result_ttl", 0),
        ("max_payload", 0),
        ("max_result", 1.5),
        ("max_queue_length", 0),
        ("max_dead_letters", -1),
        ("retry_seconds", -1),
        ("serializer", "yaml"),
    ],
)
def test_an_option_that_cannot_be_is_named(stand: Stand, option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{option}|{value}"):
        stand.client(**{option: value})


def test_other_keywords_become_attributes_unless_they_shadow_one(stand: Stand) -> None:
    assert stand.client(shop="north").shop == "north"
    for name in ("call", "options", "get_task_result"):
        with pytest.raises(TypeError, match=f"has {name} already"):
            stand.client(**{name: 1})
