"""
The connection that all threads of a courier share for commands that do not block.

One thread, the leader, sends and reads; what others ask for meanwhile gathers and goes in the next
packet together. So under load the price of a packet is shared, as in the group commit of a
database, and a thread alone pays for no hop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import redis

from task_helpers.couriers._redis.commands import Behind, Command, Told
from task_helpers.couriers._redis.connections import SOCKET_TIMEOUT, Connector
from task_helpers.couriers._redis.link import Link, packed
from task_helpers.forks import restart_after_fork

PACKET_BYTES = 1_000_000
"""Most that gathers in one packet, so that nobody waits long for the replies of others."""


class Request:
    """
    The commands of a thread that found another one leading, then what came of them.

    - told - see `Send`; None where the thread waits for the replies.
    """

    __slots__ = ("count", "error", "leads", "packed", "replies", "signal", "told")

    def __init__(self, packed: bytes, count: int, told: Told | None = None) -> None:
        self.packed = packed
        self.count = count
        self.replies: list[Any] = []
        self.error: BaseException | None = None
        self.leads = False
        self.signal = threading.Lock()
        self.signal.acquire()
        self.told = told

    def done(self) -> None:
        """By the leader, when it has the replies, or knows that they do not come."""
        if self.told is None:
            self.signal.release()
        else:
            self.told(self.error or self.replies)


class Shared:
    """Safe for threads and after a fork."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        self._link: Link | None = None
        self._led = threading.Lock()  # held by the leader; passed on without being released
        self._gathering = threading.Lock()
        self._waiting: list[Request] = []  # empty while nobody leads

    def exchange(
        self,
        commands: Sequence[Command],
        within: float,
        told: Told | None = None,
        behind: Behind | None = None,
    ) -> list[Any]:
        """As that of `Pool`; no replies where there is a `told` and somebody else leads."""
        data, count, within = packed(commands), len(commands), min(max(within, 0.0), SOCKET_TIMEOUT)
        if self._led.acquire(blocking=False):
            return self._alone(data, count, within, behind)
        if behind:
            return self._with_all(data, count, within, behind)
        return self._together(Request(data, count, told), within)

    def _alone(
        self, data: bytes, count: int, within: float, behind: Behind | None = None
    ) -> list[Any]:
        try:
            link = self._sent(data, within)
            if behind:
                commands, told = behind.commands(), behind.told
                behind = None  # from now on the link tells
                link.send_behind(commands, told)
            replies = link.read(count)
        except BaseException as error:
            self._hang_up()
            if behind:
                behind.told(error)
            raise
        else:
            self._check(link)
            return replies
        finally:
            self._pass_on()

    def _with_all(self, data: bytes, count: int, within: float, behind: Behind) -> list[Any]:
        """Where others send too nobody reads later."""
        try:
            more = behind.commands()
            request = Request(data + packed(more), count + len(more))
            replies = self._together(request, within)
        except BaseException as error:
            behind.told(error)
            raise
        behind.told(replies[count:])
        return replies[:count]

    def _together(self, request: Request, within: float) -> list[Any]:
        until = time.monotonic() + within
        try:
            if not self._gather(request, within):
                return []
        except BaseException:
            self._withdraw(request)
            raise
        if request.leads:
            self._lead(request, max(0.0, until - time.monotonic()))
        if request.error is not None:
            raise request.error
        return request.replies

    def _gather(self, request: Request, within: float) -> bool:
        """
        Until the replies are there, or it is to lead the next packet. False: somebody else sees
        to it.
        """
        with self._gathering:
            if not self._waiting:
                request.told = None  # who leads next must be here to lead
            self._waiting.append(request)
            request.leads = self._led.acquire(blocking=False)  # the leader may just have left
        if not request.leads:
            if request.told:
                return False
            self._follow(request, within)
        return True

    def _follow(self, request: Request, within: float) -> None:
        if request.signal.acquire(timeout=within):
            return
        with self._gathering:
            if not request.leads:  # whether or not it was sent: nobody waits for it any more
                request.error = redis.TimeoutError("the connection waits for other answers")
                self._leave(request)

    def _withdraw(self, request: Request) -> None:
        """Of a thread that was interrupted: it must not come to lead, nobody would then."""
        with self._gathering:
            self._leave(request)
        if request.leads:
            self._pass_on()

    def _leave(self, request: Request) -> None:
        if request in self._waiting:
            self._waiting.remove(request)

    def _lead(self, request: Request, within: float) -> None:
        packet = self._packet(request)
        try:
            link = self._sent(b"".join([each.packed for each in packet]), within)
            for each in packet:
                each.replies = link.read(each.count)
            self._check(link)
        except BaseException as error:
            self._hang_up()
            _fail(packet, error)
            if not isinstance(error, Exception):
                raise
        finally:
            for each in packet:
                if each is not request:
                    each.done()
            self._pass_on()

    def _packet(self, request: Request) -> list[Request]:
        """
        What has gathered, or as much as one packet holds, in the order in which it came: nobody
        may look for a task before it is added. So all that came before the request goes with it.
        """
        with self._gathering:
            count = self._waiting.index(request) + 1
            size = sum(len(each.packed) for each in self._waiting[:count])
            for each in self._waiting[count:]:
                if (size := size + len(each.packed)) > PACKET_BYTES:
                    break
                count += 1
            packet, self._waiting[:] = self._waiting[:count], self._waiting[count:]
            return packet

    def _sent(self, data: bytes, within: float) -> Link:
        link = self._link
        if link is None:
            link = self._link = self._connector.link(within)
        link.send(data, within)
        return link

    def _check(self, link: Link) -> None:
        if link.errors.demoted:
            self._hang_up()

    def _hang_up(self) -> None:
        """A late reply must not be read as that of the next command."""
        link, self._link = self._link, None
        if link:
            link.abort()

    def _pass_on(self) -> None:
        """To one who waits. What is left of those who do not is sent first."""
        with self._gathering:
            if not self._waiting:
                self._led.release()
                return
            heir = next((each for each in self._waiting if not each.told), None)
            orphan = None if heir else self._waiting[0]
            if heir:
                heir.leads = True
                heir.signal.release()
        if orphan:
            try:
                self._lead(orphan, SOCKET_TIMEOUT)
            finally:
                orphan.done()

    def close(self) -> None:
        if self._led.acquire(blocking=False):
            link, self._link = self._link, None
            if link:
                link.close()
            self._pass_on()


def _fail(packet: Sequence[Request], error: BaseException) -> None:
    """Those whose replies were read have them; of the others nobody knows whether they ran."""
    passing = error if isinstance(error, Exception) else redis.ConnectionError("interrupted")
    for request in packet:
        if len(request.replies) < request.count:
            request.error = passing
