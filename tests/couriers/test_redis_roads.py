"""TLS and Sentinel, for blocking and awaitable couriers."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from task_helpers import exceptions
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.couriers.redis_async import RedisAsyncClientWorkerTaskCourier
from tests.support.event_loops import Blocking, LoopThread
from tests.support.servers import RedisServer, free_port
from tests.support.waiting import Stopwatch, in_thread

Q = "q"


@contextmanager
def opened(kind: str, client: Any, **options: Any) -> Iterator[Any]:
    """A courier of that client, used as if it were blocking."""
    with ExitStack() as closing:
        if kind == "blocking":
            courier: Any = RedisClientWorkerTaskCourier(client, **options)
        else:
            loop = closing.enter_context(LoopThread())
            courier = Blocking(RedisAsyncClientWorkerTaskCourier(client, **options), loop)
        closing.callback(courier.close)
        yield courier


def goes_round(courier: Any) -> bool:
    """Whether a caller that waits gets its answer: commands, a block and a subscription."""
    waiter = in_thread(courier.call, Q, "x" * 100_000, timeout=10)
    task_id, data = courier.wait_for_task(Q, 10)
    courier.return_task_result(Q, task_id, data * 2)
    return bool(waiter.result(10) == "x" * 200_000)


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of 127.0.0.1, signed by itself: file and key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl is installed")
    folder = tmp_path_factory.mktemp("tls")
    made = {"certfile": str(folder / "own.crt"), "keyfile": str(folder / "own.key")}
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", made["certfile"], "-keyout", made["keyfile"]),
        ],
        check=True,
        capture_output=True,
    )
    return made


@pytest.fixture
def tls_port(certificate: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """Where a Redis takes nobody without TLS and without a certificate."""
    port, own = free_port(), certificate["certfile"]
    files = {"cert_file": own, "key_file": certificate["keyfile"], "ca_cert_file": own}
    tls = {f"tls_{name}": path for name, path in files.items()}
    with RedisServer(tmp_path, tls_port=str(port), **tls):
        yield port


@pytest.mark.parametrize(
    ("kind", "module"),
    [("blocking", redis), ("awaitable", redis), ("awaitable", redis.asyncio)],
    ids=["blocking", "awaitable", "awaitable of redis.asyncio"],
)
def test_tls_with_a_certificate_of_ones_own(
    kind: str, module: Any, tls_port: int, certificate: dict[str, str]
) -> None:
    ours = {f"ssl_{name}": path for name, path in certificate.items()}
    ours |= {"ssl_ca_certs": certificate["certfile"]}
    client = module.Redis(host="127.0.0.1", port=tls_port, ssl=True, **ours)
    with opened(kind, client) as courier:
        assert goes_round(courier)


@pytest.mark.parametrize("kind", ["blocking", "awaitable"])
def test_a_server_that_cannot_be_trusted_is_an_error_in_time(kind: str, tls_port: int) -> None:
    client = redis.Redis(host="127.0.0.1", port=tls_port, ssl=True)
    with opened(kind, client, retry_seconds=0.2) as courier:
        watch = Stopwatch()
        with pytest.raises(exceptions.CourierError, match=str(tls_port)) as caught:
            courier.add_task_to_queue(Q, 1)
        assert watch.seconds < 2
        assert "\n" not in str(caught.value)


def test_a_cancelled_take_over_tls_leaves_its_tasks_to_others(
    tls_port: int, certificate: dict[str, str]
) -> None:
    """TLS cannot close one direction alone, as a plain socket does to know what was taken."""
    ours = {f"ssl_{name}": path for name, path in certificate.items()}
    url = f"rediss://127.0.0.1:{tls_port}"
    client = redis.asyncio.Redis.from_url(url, ssl_ca_certs=certificate["certfile"], **ours)
    courier = RedisAsyncClientWorkerTaskCourier(client)

    async def main() -> None:
        for number in range(20):
            taking = asyncio.create_task(courier.wait_for_task(Q, timeout=10))
            await asyncio.sleep(0.001 * number)
            adding = asyncio.create_task(courier.add_task_to_queue(Q, number))
            await asyncio.sleep(0.0005 * (number % 5))
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            await adding
            if taking.cancelled():
                assert await courier.wait_for_task(Q, timeout=5) == (adding.result(), number)
            await courier.return_task_result(Q, adding.result(), number)
        await courier.close()

    asyncio.run(main())


# --- Sentinel


@pytest.mark.parametrize("client_of", [Sentinel, AsyncSentinel], ids=["redis", "redis.asyncio"])
def test_an_awaitable_courier_finds_the_master_by_sentinel(client_of: Any, tmp_path: Path) -> None:
    # given a master that only its sentinel names
    port, settings = free_port(), tmp_path / "sentinel.conf"
    with RedisServer(tmp_path) as server:
        settings.write_text(f"sentinel monitor ours 127.0.0.1 {server.port} 1\n")
        with RedisServer(tmp_path, port, file=settings, sentinel=True):
            master = client_of([("127.0.0.1", port)]).master_for("ours")
            # when a courier is given the client that it makes, then the master serves it
            with opened("awaitable", master) as courier:
                assert goes_round(courier)
            assert server.client().info("commandstats")["cmdstat_evalsha"]["calls"] > 0
            # and when the master is gone, its name is said
            server.kill()
            gone = pytest.raises(exceptions.CourierUnavailable, match=r"ours .found through")
            with opened("awaitable", master, retry_seconds=0.1) as courier, gone:
                courier.add_task_to_queue(Q, 1)
