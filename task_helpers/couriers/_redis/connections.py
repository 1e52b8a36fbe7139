"""
Connections of our own, made from the settings of the client that the user gave.

redis-py repeats commands whose reply was lost, which stores a task twice; its sockets may time out
before a blocking command does. So the settings are taken, and the behaviour is ours: no retry, no
decoding, RESP2, a socket timeout longer than any block.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from task_helpers.couriers._redis.commands import Command
from task_helpers.couriers._redis.link import SHORTEST_TIMEOUT, Connection, Link, packed
from task_helpers.forks import restart_after_fork

SOCKET_TIMEOUT = 5.0
"""Seconds without a byte after which a connection is taken for dead; above any block."""

_THEIR_BEHAVIOUR = (
    "retry",
    "retry_on_error",
    "retry_on_timeout",
    "health_check_interval",
    "decode_responses",
    "protocol",
    "parser_class",
    "legacy_responses",
    "event_dispatcher",
    "himport_registry",
    "redis_connect_func",
)
_MAINTENANCE = ("maint_", "maintenance_", "orig_", "oss_cluster_")


class Connector:
    """
    Opens connections to where the given client or pool leads. `TypeError` for anything else.

    - kind, settings - the class of its connections and what each of them is made with.
    """

    def __init__(self, redis_connection: Any) -> None:
        pool = getattr(redis_connection, "connection_pool", redis_connection)
        if not isinstance(pool, redis.ConnectionPool):
            kind = type(redis_connection)
            raise TypeError(
                "redis_connection must be a redis.Redis or a pool of it, not "
                f"{kind.__module__}.{kind.__qualname__}: cluster clients cannot be used here, "
                "those of redis.asyncio only for couriers of redis_async"
            )
        self._source = pool  # kept alive: connections found through Sentinel ask it for the master
        self.kind = pool.connection_class
        self.settings = _own_settings(pool.connection_class, pool.connection_kwargs)

    def link(self, seconds: float = SOCKET_TIMEOUT) -> Link:
        """
        A new one, connected: through Sentinel it must be asked for that by itself.

        - seconds - for each step of connecting.
        """
        seconds = max(seconds, SHORTEST_TIMEOUT)
        connection: Connection = self.kind(**self.settings)
        connection.socket_timeout = connection.socket_connect_timeout = seconds
        connection.connect()
        return Link(connection)

    def address(self) -> str:
        """For messages: host and port, the path of the socket, or the name that Sentinel knows."""
        settings = self.settings
        if "connection_pool" in settings:
            return f"{settings['connection_pool'].service_name} (found through Sentinel)"
        if "path" in settings:
            return str(settings["path"])
        return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def _own_settings(connection_class: type, theirs: dict[str, Any]) -> dict[str, Any]:
    settings = {
        name: value
        for name, value in theirs.items()
        if name not in _THEIR_BEHAVIOUR and not name.startswith(_MAINTENANCE)
    }
    settings |= {"retry": Retry(NoBackoff(), 0), "protocol": 2, "socket_timeout": SOCKET_TIMEOUT}
    if issubclass(connection_class, redis.Connection):
        settings["socket_keepalive"] = True
        settings.setdefault("socket_keepalive_options", _keepalive())
    return settings


def _keepalive() -> dict[int, int]:
    """Half a minute for a connection that died without a word; by default it is two hours."""
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    return {getattr(socket, n): value for n, value in wanted.items() if hasattr(socket, n)}


class Pool:
    """
    A connection for each thread that blocks in Redis; idle ones are used again, the last used
    first. Safe for threads and after a fork.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        self._idle: list[Link] = []

    def exchange(self, commands: Sequence[Command], within: float) -> list[Any]:
        """
        Their replies, errors of the server among them as exceptions. Raises redis'
        `ConnectionError` or `TimeoutError` when the connection breaks or `within` seconds are
        over: then nobody knows whether the commands were run.
        """
        within = min(within, SOCKET_TIMEOUT)
        link = self._take(within)
        try:
            link.send(packed(commands), within)
            replies = link.read(len(commands))
        except BaseException:
            link.abort()  # a late reply must not be read as that of the next command
            raise
        if link.errors.demoted:
            link.close()
        else:
            self._idle.append(link)
        return replies

    def _take(self, within: float) -> Link:
        try:
            return self._idle.pop()  # asking first whether there is one would be a race
        except IndexError:
            return self._connector.link(within)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
