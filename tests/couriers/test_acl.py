"""The users of docs/howto/redis-acl.md can do what their role does, and nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis

from task_helpers import exceptions
from task_helpers.couriers._redis import subscription
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.retries import RetryPolicy
from task_helpers.tasks import TaskStatus
from task_helpers.workers.base import BaseWorker
from tests.support.docs import page
from tests.support.servers import RedisServer

Q = "q"
KEYS = QueueKeys("task_helpers", Q)
AGAIN = RetryPolicy(max_attempts=2, retry_delay=0)
GIVEN_UP = RetryPolicy(max_attempts=2, give_up_on=(ArithmeticError,))


def documented() -> dict[str, list[str]]:
    """The words after ACL SETUSER, by the last word of the user's name."""
    [fence] = [f for f in page("docs/howto/redis-acl.md").fences if "ACL SETUSER" in f.code]
    commands = fence.code.replace("\\\n", " ").strip().split("\n\n")
    words = [shlex.split(command)[3:] for command in commands]
    return {rule[0].removeprefix("shop-"): rule for rule in words}


RULES = documented()


class Stand:
    """A server with the users, a courier that may do anything, and one of each role."""

    def __init__(self, server: RedisServer) -> None:
        self.admin = server.client()
        for rule in RULES.values():
            self.admin.execute_command("ACL", "SETUSER", *rule)
        self.free = RedisClientWorkerTaskCourier(self.admin)
        self._server = server

    def courier(self, role: str, **options: Any) -> RedisClientWorkerTaskCourier:
        name, password = RULES[role][0], RULES[role][3].removeprefix(">")
        connection = self._server.client(username=name, password=password)
        return RedisClientWorkerTaskCourier(connection, **options)

    def denied(self) -> list[str]:
        """What users tried and may not; redis-py introduces itself, which no role needs."""
        found = [entry["object"] for entry in self.admin.acl_log()]
        return [name for name in found if not name.startswith("client")]

    def pass_leases(self) -> None:
        for token in self.admin.zrange(KEYS.leases, 0, -1):
            self.admin.zadd(KEYS.leases, {token: 1})

    def clear(self) -> None:
        self.admin.flushall()
        self.admin.script_flush()
        self.admin.acl_log_reset()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield Stand(server)


@pytest.fixture
def stand(shared: Stand) -> Stand:
    shared.clear()
    return shared


# --- What each role does


def do_as_client(stand: Stand) -> None:
    client = stand.courier("client")
    task_ids = client.bulk_add_tasks_to_queue(Q, range(3), expires=60)
    task_ids += [
        client.add_task_to_queue(Q, 3, priority=5),
        client.add_task_to_queue(Q, 4, delay=9),
        client.add_task_to_queue(Q, 5, delay=9, key="shared"),
    ]
    stand.free.bulk_return_task_results(Q, stand.free.get_tasks(Q, 2))
    stand.free.get_tasks(Q, 1)
    assert client.get_queue_stats(Q)[:3] == (1, 2, 1)
    assert client.get_task_status(Q, task_ids[1]) == TaskStatus.RUNNING
    assert client.cancel_task(Q, task_ids[4])
    assert client.check_for_done(Q, task_ids[0])
    assert client.get_task_result(Q, task_ids[0]) == 0
    assert client.bulk_wait_for_task_results(Q, [task_ids[3]], timeout=5) == [3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subscription, "SILENCE", 0.1)  # after which it pings
        with pytest.raises(TimeoutError):
            client.wait_for_task_result(Q, task_ids[2], timeout=0.5)


def do_as_worker(stand: Stand) -> None:
    stand.free.bulk_add_tasks_to_queue(Q, range(4))
    stand.free.add_task_to_queue(Q, 5, priority=-1, delay=0.001)
    worker = stand.courier("worker", max_dead_letters=1)
    assert not worker.get_store_concerns()
    worker.renew_leases(Q, "worker")
    worker.bulk_wait_for_tasks(Q, 2, timeout=5, linger=0.001)
    worker.release_tasks(Q)
    stand.free.get_tasks(Q, 2)
    stand.pass_leases()
    (again, _), *_ = tasks = worker.bulk_wait_for_tasks(Q, 1, timeout=5)
    worker.renew_leases(Q, "worker")
    worker.bulk_return_task_results(Q, [(again, ValueError())], AGAIN)
    for _ in range(3):
        tasks = worker.bulk_wait_for_tasks(Q, 1, timeout=5)
        worker.bulk_return_task_results(Q, [(tasks[0][0], ZeroDivisionError())], GIVEN_UP)
    worker.reclaim_tasks_of(Q, b"dead....")
    assert worker.get_queue_stats(Q).dead == 1

    class Echo(BaseWorker):
        queue_name, burst = Q, True

        def perform_tasks(self, tasks: Any) -> Any:
            return tasks

    waited = stand.free.add_task_to_queue(Q, 6)
    Echo(worker).perform()
    assert stand.free.wait_for_task_result(Q, waited, timeout=5) == 6
    with pytest.raises(TimeoutError):
        worker.wait_for_task(Q, timeout=0.01)


def with_a_dead_letter(stand: Stand) -> Any:
    dead = stand.free.add_task_to_queue(Q, 1)
    stand.free.get_tasks(Q)
    stand.free.bulk_return_task_results(Q, [(dead, ZeroDivisionError())], GIVEN_UP)
    return dead


def do_as_viewer(stand: Stand) -> None:
    with_a_dead_letter(stand)
    task_ids = stand.free.bulk_add_tasks_to_queue(Q, range(2))
    stand.free.bulk_return_task_results(Q, stand.free.get_tasks(Q, 1))
    stand.free.add_task_to_queue(Q, 3)
    stand.free.get_tasks(Q, 1)
    viewer = stand.courier("viewer")
    assert viewer.get_queue_stats(Q)[:4] == (1, 0, 1, 1)
    assert viewer.get_task_status(Q, task_ids[1]) == TaskStatus.RUNNING
    assert viewer.check_for_done(Q, task_ids[0])
    assert viewer.get_task_result(Q, task_ids[0], delete_data=False) == 0
    assert [letter.task_data for letter in viewer.get_dead_letters(Q)] == [1]


def do_as_admin(stand: Stand) -> None:
    admin = stand.courier("admin")
    dead = with_a_dead_letter(stand)
    assert admin.requeue_dead_letters(Q, [dead]) == 1
    assert admin.get_task_status(Q, dead) == TaskStatus.WAITING
    stand.free.get_tasks(Q)
    assert admin.get_task_status(Q, dead) == TaskStatus.RUNNING
    assert admin.get_queue_stats(Q).running == 1
    stand.free.bulk_return_task_results(Q, [(dead, ZeroDivisionError())], GIVEN_UP)
    assert admin.delete_dead_letters(Q, [dead]) == 1
    # given a batch without a lease and a line of a wrong type
    stand.free.bulk_add_tasks_to_queue(Q, range(3))
    stand.free.get_tasks(Q, 1)
    stand.admin.delete(KEYS.leases)
    stand.admin.set(KEYS.pending, "not ours")
    assert admin.repair_queue(Q) == 2  # those of the batch are no loss
    assert admin.get_queue_stats(Q).waiting == 3


DEEDS: dict[str, Callable[[Stand], None]] = {
    "client": do_as_client,
    "worker": do_as_worker,
    "viewer": do_as_viewer,
    "admin": do_as_admin,
}


@pytest.mark.parametrize("role", DEEDS)
def test_a_role_may_do_all_that_it_does(stand: Stand, role: str) -> None:
    DEEDS[role](stand)
    assert stand.denied() == []


@pytest.mark.parametrize(
    ("role", "right"), [(r, word) for r in DEEDS for word in RULES[r] if word.startswith("+")]
)
def test_no_right_is_given_that_is_not_needed(stand: Stand, role: str, right: str) -> None:
    name = RULES[role][0]
    stand.admin.execute_command("ACL", "SETUSER", name, right.replace("+", "-"))
    try:
        with suppress(Exception, pytest.fail.Exception):
            DEEDS[role](stand)
        assert stand.denied(), f"{name} does without {right}"
    finally:
        stand.admin.execute_command("ACL", "SETUSER", name, right)


# --- What each role may not do


FORBIDDEN: list[tuple[str, Callable[[Any], Any]]] = [
    ("client", lambda courier: courier.get_tasks(Q)),
    ("client", lambda courier: courier.bulk_wait_for_tasks(Q, 1, timeout=1)),
    ("client", lambda courier: courier.repair_queue(Q)),
    ("client", lambda courier: courier.get_dead_letters(Q)),
    ("worker", lambda courier: courier.add_task_to_queue(Q, 1, priority=1)),
    ("worker", lambda courier: courier.get_dead_letters(Q)),
    ("worker", lambda courier: courier.repair_queue(Q)),
    ("viewer", lambda courier: courier.add_task_to_queue(Q, 1)),
    ("viewer", lambda courier: courier.get_tasks(Q)),
    ("viewer", lambda courier: courier.repair_queue(Q)),
    ("admin", lambda courier: courier.get_tasks(Q)),
]


@pytest.mark.parametrize(("role", "deed"), FORBIDDEN)
def test_what_a_role_may_not_do_is_said_in_one_line(stand: Stand, role: str, deed: Any) -> None:
    stand.free.bulk_add_tasks_to_queue(Q, range(2))
    with pytest.raises(exceptions.CourierError, match="refused the command") as caught:
        deed(stand.courier(role))
    assert not isinstance(caught.value, exceptions.CourierUnavailable)
    assert "\n" not in str(caught.value)
    assert stand.free.get_queue_stats(Q).waiting == 2


@pytest.mark.parametrize("right", ["ping", "subscribe"])
def test_who_may_not_listen_waits_all_the_same(
    stand: Stand, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "SILENCE", 0.1)
    name, client = RULES["client"][0], stand.courier("client")
    stand.admin.execute_command("ACL", "SETUSER", name, f"-{right}")
    try:
        task_id = client.add_task_to_queue(Q, 1)
        with pytest.raises(TimeoutError):
            client.wait_for_task_result(Q, task_id, timeout=0.5)
        stand.free.return_task_result(Q, task_id, "result")
        assert client.wait_for_task_result(Q, task_id, timeout=5) == "result"
    finally:
        stand.admin.execute_command("ACL", "SETUSER", name, f"+{right}")


@pytest.mark.parametrize("role", DEEDS)
def test_no_role_reaches_keys_of_others(stand: Stand, role: str) -> None:
    with pytest.raises(exceptions.CourierError, match="refused the command"):
        stand.courier(role, prefix="others").get_queue_stats(Q)
    with pytest.raises(redis.exceptions.NoPermissionError):
        stand.courier(role).redis_connection.flushall()
