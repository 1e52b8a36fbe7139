"""Tasks with a key: while one of them is unfinished, whoever adds another one shares it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from task_helpers import exceptions
from task_helpers.effects import Effect, Listen
from task_helpers.retries import RetryPolicy
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Stand
from tests.support.event_loops import lookout_of
from tests.support.waiting import PATIENCE, in_thread, wait_until


def end_all(worker: Any, queue: str, result: Any = "result") -> int:
    tasks = worker.get_tasks(queue)
    worker.bulk_return_task_results(queue, [(task_id, result) for task_id, _ in tasks])
    return len(tasks)


def test_of_tasks_with_one_key_one_is_performed(client: Any, worker: Any, queue: str) -> None:
    # given adds with the same key, with another one, and with none
    first = client.add_task_to_queue(queue, 1, key="report")
    again = client.add_task_to_queue(queue, 2, key="report")
    other = client.add_task_to_queue(queue, 3, key="another report")
    plain = client.add_task_to_queue(queue, 4)
    # then the second is the first
    assert again == first
    assert worker.get_tasks(queue) == [(first, 1), (other, 3), (plain, 4)]
    # also while it runs
    assert client.add_task_to_queue(queue, 5, key="report") == first
    assert worker.get_tasks(queue) == []


def test_all_who_share_a_task_get_its_result(stand: Stand, worker: Any, queue: str) -> None:
    # given one task of two clients
    one, other = stand.client(), stand.client()
    task_id = one.add_task_to_queue(queue, 1, key="report")
    other.add_task_to_queue(queue, 1, key="report")
    # when it has ended, each reads the result, also a second time
    end_all(worker, queue)
    for client in (one, other, one):
        assert client.wait_for_task_result(queue, task_id, timeout=PATIENCE) == "result"
        assert client.get_task_result(queue, task_id) == "result"
    # and nothing but that is left, for a while
    assert stand.leftovers(queue) == []


def test_callers_in_many_threads_share_a_call(stand: Stand, worker: Any, queue: str) -> None:
    # given ten callers of each of two clients
    clients = [stand.client(), stand.client()] * 10
    calls = [in_thread(c.call, queue, "data", timeout=60, key="report") for c in clients]
    # when all of them wait
    wait_until(lambda: all_wait(clients))
    # then a single task answers all
    assert end_all(worker, queue) == 1
    assert {call.result(PATIENCE) for call in calls} == {"result"}
    assert stand.leftovers(queue) == []


def all_wait(clients: list[Any], task_id: UUID | None = None) -> bool:
    """For the one task that they share, this one: before, each waits for one of its own."""
    lookouts = {id(found): found for found in map(lookout_of, clients)}.values()
    waiters = [waiter for lookout in lookouts for waiter in list(lookout._waiters)]
    awaited = {waiter.ids for waiter in waiters}
    if task_id is not None and awaited != {(task_id.bytes,)}:
        return False
    return len(waiters) == len(clients) and len(awaited) == 1


GIVEN_UP = RetryPolicy(max_attempts=2, give_up_on=(ArithmeticError,))


def give(result: Any, policy: RetryPolicy | None = None) -> Callable[..., None]:
    def end(client: Any, worker: Any, queue: str, task_id: Any) -> None:
        worker.get_tasks(queue)
        worker.bulk_return_task_results(queue, [(task_id, result)], policy)

    return end


def acknowledge(client: Any, worker: Any, queue: str, task_id: Any) -> None:
    worker.acknowledge_tasks(queue, [task_id for task_id, _ in worker.get_tasks(queue)])


def cancel(client: Any, worker: Any, queue: str, task_id: Any) -> None:
    assert client.cancel_task(queue, task_id)


ENDS = {
    "done": give(1),
    "failed": give(ValueError()),
    "dead": give(ZeroDivisionError(), GIVEN_UP),
    "acknowledged": acknowledge,
    "cancelled": cancel,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_key_is_free_when_its_task_has_ended(
    client: Any, worker: Any, queue: str, end: str
) -> None:
    first = client.add_task_to_queue(queue, 1, key="report")
    ENDS[end](client, worker, queue, first)
    second = client.add_task_to_queue(queue, 2, key="report")
    assert second != first
    assert worker.get_tasks(queue) == [(second, 2)]


def test_a_key_is_free_when_its_task_has_expired(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    client.add_task_to_queue(queue, 1, key="report", expires=0.001)
    stand.pass_time(0.01)
    assert worker.get_tasks(queue) == []
    second = client.add_task_to_queue(queue, 2, key="report")
    assert worker.get_tasks(queue) == [(second, 2)]


def test_a_task_that_comes_back_keeps_its_key(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a task that is tried again later
    first = client.add_task_to_queue(queue, 1, key="report")
    give(ValueError(), RetryPolicy(max_attempts=2, retry_delay=60))(client, worker, queue, first)
    assert client.add_task_to_queue(queue, 2, key="report") == first
    # and then goes back since its worker is lost
    stand.pass_delays(queue)
    assert worker.get_tasks(queue) == [(first, 1)]
    stand.pass_leases(queue)
    assert stand.worker().get_tasks(queue) == [(first, 1)]
    assert client.add_task_to_queue(queue, 2, key="report") == first


def test_how_the_first_was_added_stays(client: Any, worker: Any, queue: str) -> None:
    first = client.add_task_to_queue(queue, 1, key="report", delay=60)
    assert client.add_task_to_queue(queue, 2, key="report") == first
    assert client.get_task_status(queue, first) == TaskStatus.DELAYED
    assert worker.get_tasks(queue) == []


def test_a_full_queue_is_no_reason_not_to_share(stand: Stand, queue: str) -> None:
    client = stand.client(max_queue_length=1)
    first = client.add_task_to_queue(queue, 1, key="report")
    assert client.add_task_to_queue(queue, 1, key="report") == first
    with pytest.raises(exceptions.QueueFull):
        client.add_task_to_queue(queue, 1, key="another report")


def test_who_has_more_time_than_the_first_gets_a_task_of_its_own_when_that_expires(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    # given a caller that shares a task whose deadline is near
    client.add_task_to_queue(queue, "first", key="report", expires=0.001)
    call = in_thread(client.call, queue, "second", timeout=60, key="report")
    wait_until(lambda: all_wait([client]))
    stand.pass_time(0.01)
    # when it has expired, then the caller's own data comes to the worker
    [(task_id, data)] = wait_until(lambda: worker.get_tasks(queue))
    worker.return_task_result(queue, task_id, f"{data} was performed")
    assert call.result(PATIENCE) == "second was performed"


def test_who_is_interrupted_does_not_take_the_task_from_others(
    stand: Stand, worker: Any, queue: str
) -> None:
    # given a task of two
    stand.client().add_task_to_queue(queue, 1, key="report")
    client = stand.client()
    perform = client._perform

    def interrupted(effect: Effect) -> Any:
        if isinstance(effect, Listen):
            raise KeyboardInterrupt
        return perform(effect)

    client._perform = interrupted
    # when one is interrupted
    with pytest.raises(KeyboardInterrupt):
        client.call(queue, 1, timeout=60, key="report")
    # then the task is still performed
    assert end_all(worker, queue) == 1


@pytest.mark.parametrize(
    ("end", "error"),
    [("failed", exceptions.PerformTaskError), ("cancelled", exceptions.TaskCancelled)],
)
def test_sharers_of_a_task_that_fails_or_is_cancelled_are_told(
    client: Any, worker: Any, queue: str, end: str, error: type[Exception]
) -> None:
    task_id = client.add_task_to_queue(queue, 1, key="report")
    call = in_thread(client.call, queue, 1, timeout=60, key="report")
    wait_until(lambda: all_wait([client], task_id))
    ENDS[end](client, worker, queue, task_id)
    assert type(call.exception(PATIENCE)) is error


@pytest.mark.parametrize("key", ["", "x" * 201, b"bytes", 7])
def test_a_key_that_is_none_is_refused(client: Any, queue: str, key: Any) -> None:
    for add in (client.add_task_to_queue, client.call):
        with pytest.raises(ValueError, match="key must be a text"):
            add(queue, 1, key=key, **({"timeout": 1} if add == client.call else {}))
    assert client.get_queue_stats(queue).waiting == 0


def test_a_key_is_that_of_one_task(client: Any, queue: str) -> None:
    with pytest.raises(ValueError, match="of one task"):
        client.bulk_add_tasks_to_queue(queue, range(2), key="report")
    assert client.get_queue_stats(queue).waiting == 0


def test_shared_tasks_may_be_signed(stand: Stand, queue: str) -> None:
    both = stand.both(signing_key=b"0123456789abcdef")
    task_id = both.add_task_to_queue(queue, 1, key="é\ud800")
    assert both.add_task_to_queue(queue, 1, key="é\ud800") == task_id
    end_all(both, queue)
    assert both.wait_for_task_result(queue, task_id, timeout=PATIENCE) == "result"
