"""What a Redis that runs may answer, and what an administrator may do to it, under load."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import redis

from tests.faults.context import Context
from tests.faults.load import Load, last, named
from tests.faults.report import Figure, at_least
from tests.support.servers import RedisServer, free_port
from tests.support.waiting import in_thread, wait_until

LEASE = 2.0


def run(context: Context) -> list[Figure]:
    seconds = context.scaled(1.5, 20.0)
    repeats = context.scaled(1, 5)
    faults: list[tuple[str, Callable[[RedisServer], None]]] = [
        ("CLIENT KILL every 50 ms", lambda server: every_50_ms(server, seconds, kill_clients)),
        ("SCRIPT FLUSH every 50 ms", lambda server: every_50_ms(server, seconds, flush_scripts)),
        ("CLIENT PAUSE 5 s", lambda server: repeat(repeats, lambda: pause(server, 5.0))),
        ("BUSY", lambda server: repeat(repeats, lambda: busy(server, 1.0))),
        ("READONLY", lambda server: repeat(repeats, lambda: demoted(server, 1.0, stale="yes"))),
        ("MASTERDOWN", lambda server: repeat(repeats, lambda: demoted(server, 1.0, stale="no"))),
        ("LOADING", lambda server: repeat(repeats, lambda: loading(server))),
    ]
    return [figure for name, fault in faults for figure in under_load(context, name, fault)]


SAID = {
    "SCRIPT": "NOSCRIPT",
    **{error: error for error in ("BUSY", "READONLY", "MASTERDOWN", "LOADING")},
}
SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "busy_reply_threshold": "50",
    "key_load_delay": "1000",  # µs for each key of a file that is loaded
    "loading_process_events_interval_bytes": "1024",  # so that clients are told so meanwhile
}


def under_load(context: Context, name: str, fault: Callable[[RedisServer], None]) -> list[Figure]:
    with context.server(**SETTINGS) as server, context.field(server=server, lease=LEASE) as field:
        with Load(field) as load:
            for _ in range(2):
                field.start(batch=50, task_seconds=0.001)
            field.wait_for_executions(100)
            fault(server)
            field.wait_for_executions(len(field.ledger) + 100)
        met = _errors(server, name.split()[0])
        return named(name, [*met, *load.undisturbed()])


def _errors(server: RedisServer, kind: str) -> list[Figure]:
    """How often Redis said it, so that a fault that nobody met is noticed."""
    if kind not in SAID:
        return []
    with server.client() as connection:
        said = connection.info("errorstats").get(f"errorstat_{SAID[kind]}", {})
    return [at_least(f"replies {SAID[kind]}", said.get("count", 0), 1)]


def repeat(times: int, fault: Callable[[], None]) -> None:
    for _ in range(times):
        fault()
        last(0.5)


def every_50_ms(server: RedisServer, seconds: float, act: Callable[[redis.Redis], object]) -> None:
    until = time.monotonic() + seconds
    with server.client() as connection:
        while time.monotonic() < until:
            act(connection)
            last(0.05)


def kill_clients(connection: redis.Redis) -> None:
    for kind in ("normal", "pubsub"):
        connection.client_kill_filter(_type=kind, skipme=True)


def flush_scripts(connection: redis.Redis) -> None:
    connection.script_flush()


def pause(server: RedisServer, seconds: float) -> None:
    with server.client() as connection:
        connection.client_pause(int(seconds * 1000))
    last(seconds)


def busy(server: RedisServer, seconds: float) -> None:
    """A script of somebody else that never ends."""
    with server.client(retry=None, socket_timeout=None) as other, server.client() as admin:
        stuck = in_thread(other.eval, "while true do end", 0)
        last(seconds)
        admin.script_kill()
        with suppress(redis.ResponseError):
            stuck.result(10)


def demoted(server: RedisServer, seconds: float, stale: str) -> None:
    """A replica of a master that is not there keeps its data, and takes no writes."""
    with server.client() as connection:
        connection.config_set("replica-serve-stale-data", stale)
        connection.execute_command("REPLICAOF", "127.0.0.1", free_port())
        last(seconds)
        connection.execute_command("REPLICAOF", "NO", "ONE")


def loading(server: RedisServer) -> None:
    """Started again with a file that takes two seconds to read."""
    with server.client() as connection:
        connection.mset({f"ballast-{n}": "" for n in range(2000)})
        connection.bgrewriteaof()
        wait_until(lambda: not connection.info("persistence")["aof_rewrite_in_progress"])
    server.kill()
    server.start()
