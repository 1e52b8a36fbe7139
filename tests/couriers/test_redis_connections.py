"""The courier's own connections: their settings, their number, what they survive."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from task_helpers import exceptions
from task_helpers.couriers.redis import (
    RedisClientTaskCourier,
    RedisClientWorkerTaskCourier,
    RedisWorkerTaskCourier,
)
from tests.support.faults import LostReplies, Recorder
from tests.support.forking import fork
from tests.support.servers import RedisServer, free_port
from tests.support.waiting import Stopwatch, in_thread, wait_until

Q = "q"


def test_what_is_no_redis_client_is_a_type_error() -> None:
    for wrong in (object(), None, "redis://localhost", redis.asyncio.Redis()):
        with pytest.raises(TypeError, match=r"must be a redis\.Redis or a pool of it, not"):
            RedisClientTaskCourier(redis_connection=wrong)


def test_nothing_is_connected_before_it_is_used() -> None:
    RedisClientWorkerTaskCourier(redis.Redis(port=free_port()))


@pytest.mark.parametrize(
    "settings",
    [
        {"decode_responses": True},
        {"socket_timeout": 0.01},
        {"protocol": 3},
        {"health_check_interval": 1},
        {"single_connection_client": True},
        {"max_connections": 1},
    ],
    ids=str,
)
def test_settings_of_the_users_client_that_would_break_ours_have_no_effect(
    redis_url: str, prefix: str, settings: Any
) -> None:
    with redis.Redis.from_url(redis_url, **settings) as connection:
        courier = RedisClientWorkerTaskCourier(connection, prefix=prefix)
        recorder = Recorder(courier)
        worker = in_thread(courier.wait_for_task, Q, 5)
        with pytest.raises(TimeoutError):
            courier.bulk_wait_for_tasks(Q + "2", 1, timeout=0.1)
        task_id = courier.add_task_to_queue(Q, (b"\xff", "text"))
        courier.return_task_result(Q, *worker.result(5))
        assert courier.wait_for_task_result(Q, task_id, timeout=5) == (b"\xff", "text")
        assert recorder.errors == []
        courier.close()


def test_a_pool_will_do_and_its_database_counts(server: RedisServer) -> None:
    pool = redis.ConnectionPool(host="127.0.0.1", port=server.port, db=3)
    RedisClientTaskCourier(pool).add_task_to_queue(Q, 1)
    assert server.client(db=3).dbsize() > 0
    assert server.client(db=0).dbsize() == 0


def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with RedisServer(tmp_path, unixsocket=path):
        courier = RedisClientWorkerTaskCourier(redis.Redis(unix_socket_path=path))
        task_id = courier.add_task_to_queue(Q, 1)
        assert courier.get_task(Q) == (task_id, 1)


def test_a_client_of_sentinel_finds_the_master(server: RedisServer, tmp_path: Path) -> None:
    # given a master that only its sentinel names
    port, settings = free_port(), tmp_path / "sentinel.conf"
    settings.write_text(f"sentinel monitor ours 127.0.0.1 {server.port} 1\n")
    with RedisServer(tmp_path, port, file=settings, sentinel=True):
        sentinel = Sentinel([("127.0.0.1", port)])
        # when a courier is given the client that it makes
        courier = RedisClientWorkerTaskCourier(sentinel.master_for("ours"))
        waiter = in_thread(courier.call, Q, "data", timeout=10)
        courier.return_task_result(Q, *courier.wait_for_task(Q, 10))
        # then the master serves it
        assert waiter.result(5) == "data"
        assert server.client().info("commandstats")["cmdstat_evalsha"]["calls"] > 0
        # and when the master is gone, its name is said
        server.kill()
        impatient = RedisClientTaskCourier(sentinel.master_for("ours"), retry_seconds=0.1)
        with pytest.raises(exceptions.CourierUnavailable, match=r"ours .found through Sentinel"):
            impatient.add_task_to_queue(Q, 1)


# --- Redis away


@pytest.mark.parametrize(
    "use",
    [
        lambda courier: courier.add_task_to_queue(Q, 1),
        lambda courier: courier.bulk_wait_for_tasks(Q, 5),
        lambda courier: courier.call(Q, 1, timeout=60),
        lambda courier: courier.get_queue_stats(Q),
    ],
    ids=["add", "wait", "call", "stats"],
)
def test_a_redis_that_is_away_is_named_in_one_line_in_time(use: Any) -> None:
    port, watch = free_port(), Stopwatch()
    courier = RedisClientWorkerTaskCourier(redis.Redis(port=port), retry_seconds=0.2)
    with pytest.raises(exceptions.CourierUnavailable) as caught:
        use(courier)
    assert watch.seconds < 1
    assert f"Redis at localhost:{port} cannot be reached" in str(caught.value)
    assert "is it running, and is the address right?" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.__cause__ is None


def test_a_wrong_password_is_said_at_once(tmp_path: Path) -> None:
    with RedisServer(tmp_path, requirepass="secret") as server:
        courier, watch = RedisClientTaskCourier(server.client(password="wrong")), Stopwatch()
        with pytest.raises(exceptions.CourierError, match=r"refused.*password") as caught:
            courier.add_task_to_queue(Q, 1)
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        assert not isinstance(caught.value, exceptions.CourierUnavailable)
        assert watch.seconds < 2


class Deaf:
    """A server that reads commands and hangs up when a task is added."""

    def __init__(self) -> None:
        self.received = b""
        self.calls = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65536):
                    self.received += data
                    if b"RPUSH" in data:
                        self.calls += 1
                        break
                    connection.sendall(b"+OK\r\n" * data.count(b"CLIENT"))

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    server = Deaf()
    yield server
    server.close()


def test_one_attempt_of_ours_is_one_on_the_wire(deaf: Deaf) -> None:
    # given a client that would repeat commands, and a server that does not answer
    eager = redis.Redis(
        host="127.0.0.1",
        port=deaf.port,
        retry=Retry(NoBackoff(), 5),
        retry_on_error=[redis.ConnectionError],
    )
    courier = RedisClientTaskCourier(eager, retry_seconds=0)
    # when a task is added once
    with pytest.raises(exceptions.CourierUnavailable):
        courier.add_task_to_queue(Q, 1)
    # then it was sent once, and in the older protocol
    assert deaf.calls == 1
    assert b"HELLO" not in deaf.received


# --- Many threads


def test_64_waiters_and_a_worker_hold_few_connections(
    redis_url: str, redis_connection: redis.Redis, prefix: str
) -> None:
    # given 64 threads that wait over one courier
    client = redis.Redis.from_url(redis_url, client_name=prefix)
    courier = RedisClientTaskCourier(client, prefix=prefix)
    worker = RedisWorkerTaskCourier(redis_connection, prefix=prefix)

    def connections() -> int:
        return sum(c["name"] == prefix for c in redis_connection.client_list())

    waiters = {n: in_thread(courier.call, Q, n, timeout=20) for n in range(64)}
    wait_until(lambda: worker.get_queue_stats(Q).waiting == 64)
    # when their answers come one by one
    most = connections()
    for task_id, n in worker.get_tasks(Q, 64):
        worker.return_task_result(Q, task_id, -n)
        most = max(most, connections())
    # then each has its own, over four connections
    assert [waiter.result(10) for waiter in waiters.values()] == [-n for n in range(64)]
    assert most <= 4
    courier.close()
    wait_until(lambda: connections() == 0)


# --- Fork


def test_a_child_neither_asks_for_nor_holds_batches_of_its_parent(
    redis_connection: Any, prefix: str
) -> None:
    # given a courier that holds a batch, and whose next take was made but got no answer
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix, retry_seconds=0)
    courier.bulk_add_tasks_to_queue(Q, range(3))
    [held] = courier.get_tasks(Q, 1)
    LostReplies(courier, "take")
    with pytest.raises(exceptions.CourierUnavailable):
        courier.get_tasks(Q, 1)
    own = courier.worker_id

    # when its process forks, then the child is another worker, which gets another task
    def child() -> None:
        courier.release_tasks(Q)
        assert courier.worker_id != own
        assert [n for _, n in courier.get_tasks(Q, 2)] == [2]

    fork(child)()
    # and the parent has what it took
    assert [n for _, n in courier.get_tasks(Q, 2)] == [1]
    courier.return_task_result(Q, held[0], ValueError("its own"))
    with pytest.raises(exceptions.PerformTaskError, match="its own"):
        courier.get_task_result(Q, held[0])


def test_parent_and_child_go_on_after_a_fork(courier: Any, other: Any) -> None:
    # given a courier in use: it has connections, and a thread waits for a result
    def answer(count: int) -> None:
        for _ in range(count):
            task_id, data = other.wait_for_task(Q, 10)
            other.return_task_result(Q, task_id, f"answer {data}")

    open_end = courier.add_task_to_queue("later", "parent")
    waiter = in_thread(courier.wait_for_task_result, "later", open_end)
    answers = in_thread(answer, 41)
    assert courier.call(Q, 0, timeout=5) == "answer 0"

    # when the process forks
    def child() -> None:
        own = [courier.call(Q, ("child", n), timeout=5) for n in range(20)]
        assert own == [f"answer {('child', n)}" for n in range(20)]

    succeeds = fork(child)
    # then both get their own answers
    for n in range(20):
        assert courier.call(Q, n, timeout=5) == f"answer {n}"
    succeeds()
    answers.result(5)
    other.return_task_result("later", open_end, "still here")
    assert waiter.result(5) == "still here"


@pytest.mark.parametrize("use", ["add", "take"])
def test_a_master_that_was_demoted_is_left_by_its_connection(server: RedisServer, use: str) -> None:
    # given a courier that is connected to a Redis, which then becomes a replica for half a second
    courier = RedisClientWorkerTaskCourier(server.client())
    courier.add_task_to_queue(Q, 1)
    with server.client() as admin:
        before = {each["id"] for each in admin.client_list()}
        admin.execute_command("REPLICAOF", "127.0.0.1", free_port())
        end = in_thread(lambda: (time.sleep(0.5), admin.execute_command("REPLICAOF", "NO", "ONE")))
        # when it is asked to write
        if use == "add":
            courier.add_task_to_queue(Q, 2)
        else:
            courier.bulk_wait_for_tasks(Q, 1, timeout=5)
        end.result(5)
        # then it does so over a new connection
        after = {each["id"] for each in admin.client_list()}
    assert after - before
