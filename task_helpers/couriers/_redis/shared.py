"""
The connection that all threads of a courier share for commands that do not block.

One thread, the leader, sends and reads; what others ask for meanwhile gathers and goes in the next
packet together. So under load the price of a packet is shared, as in the group commit of a
database, and a thread alone pays for no hop.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import redis

from task_helpers.couriers._redis.commands import Command
from task_helpers.couriers._redis.connections import SOCKET_TIMEOUT, Connector, is_demoted
from task_helpers.couriers._redis.forks import restart_after_fork
from task_helpers.couriers._redis.link import Link, packed

PACKET_BYTES = 1_000_000
"""Most that gathers in one packet, so that nobody waits long for the replies of others."""


class Request:
    """The commands of one thread, then their replies or the error that came instead."""

    __slots__ = ("count", "error", "leads", "packed", "replies", "signal")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.packed = packed(commands)
        self.count = len(commands)
        self.replies: list[Any] = []
        self.error: BaseException | None = None
        self.leads = False
        self.signal = threading.Lock()
        self.signal.acquire()


class Shared:
    """Safe for threads and after a fork."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        self._link: Link | None = None
        self._lock = threading.Lock()
        self._waiting: list[Request] = []
        self._led = False

    def exchange(self, commands: Sequence[Command], within: float) -> list[Any]:
        """As that of `Pool`."""
        request, within = Request(commands), min(max(within, 0.0), SOCKET_TIMEOUT)
        with self._lock:
            self._waiting.append(request)
            request.leads, self._led = not self._led, True
        if not request.leads:
            self._follow(request, within)
        if request.leads:
            self._lead(request, within)
        if request.error is not None:
            raise request.error
        return request.replies

    def _follow(self, request: Request, within: float) -> None:
        """Until the replies are there, or it is to lead the next packet."""
        if request.signal.acquire(timeout=within):
            return
        with self._lock:
            if not request.leads:  # whether or not it was sent: nobody waits for it any more
                request.error = redis.TimeoutError("the connection waits for other answers")
                if request in self._waiting:
                    self._waiting.remove(request)

    def _lead(self, request: Request, within: float) -> None:
        packet = self._packet(request)
        try:
            self._exchange(packet, within)
        except BaseException as error:
            self._break(packet, error)
            if not isinstance(error, (redis.RedisError, OSError)):
                raise
        finally:
            self._pass_on(packet, request)

    def _packet(self, request: Request) -> list[Request]:
        """What has gathered, or as much as one packet holds; its own commands first."""
        with self._lock:
            self._waiting.remove(request)
            packet, size = [request], len(request.packed)
            while self._waiting and size + len(self._waiting[0].packed) <= PACKET_BYTES:
                packet.append(self._waiting.pop(0))
                size += len(packet[-1].packed)
            return packet

    def _exchange(self, packet: Sequence[Request], within: float) -> None:
        if self._link is None:
            self._link = self._connector.link(within)
        self._link.send(b"".join(request.packed for request in packet), within)
        for request in packet:
            request.replies = [self._link.read() for _ in range(request.count)]
            if is_demoted(request.replies):
                raise redis.ReadOnlyError("the master became a replica")

    def _break(self, packet: Sequence[Request], error: BaseException) -> None:
        """A late reply must not be read as that of the next command."""
        link, self._link = self._link, None
        if link:
            link.close()
        passing = error if isinstance(error, Exception) else redis.ConnectionError("interrupted")
        for request in packet:
            if len(request.replies) < request.count:
                request.error = passing

    def _pass_on(self, packet: Sequence[Request], own: Request) -> None:
        with self._lock:
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].signal.release()
            else:
                self._led = False
            for request in packet:
                if request is not own:
                    request.signal.release()

    def close(self) -> None:
        with self._lock:
            if not self._led and self._link:
                self._link.close()
                self._link = None
