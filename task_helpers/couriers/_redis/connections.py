"""
Connections of our own, made from the settings of the client that the user gave.

redis-py repeats commands whose reply was lost, which stores a task twice; its sockets may time out
before a blocking command does. So the settings are taken, and the behaviour is ours: no retry, no
decoding, RESP2, a socket timeout longer than any block.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from task_helpers.couriers._redis.commands import Command
from task_helpers.couriers._redis.forks import restart_after_fork

SOCKET_TIMEOUT = 5.0
"""Seconds without a byte after which a connection is taken for dead; above any block."""

SHORTEST_TIMEOUT = 0.01
"""A socket timeout of 0 would mean not to wait at all."""

SHARED_CONNECTIONS = 2
"""Enough for any number of threads: one holds a connection for one round trip."""


class Connection(Protocol):
    """What is used of a connection of redis-py."""

    def connect(self) -> None: ...

    _sock: socket.socket | None
    socket_timeout: float
    socket_connect_timeout: float

    def pack_commands(self, commands: Iterable[Command]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes], check_health: bool) -> None: ...
    def read_response(self) -> Any: ...
    def can_read(self, timeout: float) -> bool: ...
    def disconnect(self) -> None: ...


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
    """Opens connections to where the given client or pool leads. `TypeError` for anything else."""

    def __init__(self, redis_connection: Any) -> None:
        pool = getattr(redis_connection, "connection_pool", redis_connection)
        if not isinstance(pool, redis.ConnectionPool):
            kind = type(redis_connection)
            raise TypeError(
                "redis_connection must be a redis.Redis or a pool of it, not "
                f"{kind.__module__}.{kind.__qualname__}: asynchronous and cluster clients cannot "
                "be used here"
            )
        self._source = pool  # kept alive: connections found through Sentinel ask it for the master
        self._class = pool.connection_class
        self._settings = _own_settings(pool.connection_class, pool.connection_kwargs)

    def connection(self, timeout: float = SOCKET_TIMEOUT) -> Connection:
        """
        A new one, connected: through Sentinel it must be asked for that by itself.

        - timeout - seconds for each step of connecting.
        """
        connection: Connection = self._class(**self._settings)
        _set_timeout(connection, timeout)
        connection.connect()
        _set_timeout(connection, SOCKET_TIMEOUT)
        return connection

    def address(self) -> str:
        """For messages: host and port, the path of the socket, or the name that Sentinel knows."""
        settings = self._settings
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
    Idle connections, the last used first. Safe for threads and after a fork.

    - limit - most connections in use at once, others wait for one; None: any number.
    """

    def __init__(self, connector: Connector, limit: int | None = None) -> None:
        self._connector = connector
        self._limit = limit
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        self._idle: list[Connection] = []
        self._free = threading.Semaphore(self._limit) if self._limit else None

    def exchange(self, commands: Sequence[Command], within: float) -> list[Any]:
        """
        Their replies, errors of the server among them as exceptions. Raises redis'
        `ConnectionError` or `TimeoutError` when the connection breaks or `within` seconds are
        over: then nobody knows whether the commands were run.
        """
        free, within = self._free, min(max(within, SHORTEST_TIMEOUT), SOCKET_TIMEOUT)
        if free and not free.acquire(timeout=within):
            raise redis.TimeoutError("all connections wait for an answer")
        try:
            return self._exchange(commands, within)
        finally:
            if free:
                free.release()

    def _exchange(self, commands: Sequence[Command], within: float) -> list[Any]:
        connection = self._take(within)
        try:
            _set_timeout(connection, within)
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies = [_reply(connection) for _ in commands]
        except BaseException:
            connection.disconnect()  # a late reply must not be read as that of the next command
            raise
        if any(isinstance(reply, redis.exceptions.ReadOnlyError) for reply in replies):
            connection.disconnect()  # a failover: connect anew, to the new master
        else:
            self._idle.append(connection)
        return replies

    def _take(self, within: float) -> Connection:
        try:
            return self._idle.pop()  # asking first whether there is one would be a race
        except IndexError:
            return self._connector.connection(within)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().disconnect()


def _set_timeout(connection: Connection, seconds: float) -> None:
    """Of the socket there is, or of the one that the connection is about to open."""
    if connection._sock:
        connection._sock.settimeout(seconds)
    else:
        connection.socket_timeout = connection.socket_connect_timeout = seconds


def _reply(connection: Connection) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
