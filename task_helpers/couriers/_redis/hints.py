"""
Waiting for hints: one Pub/Sub channel per client process, however many threads wait.

Workers publish the ids of ended tasks on the channel named in the task. One of the waiting threads,
the leader, reads the socket and wakes the others; when it has what it came for, it passes the lead
on. So no thread exists for this alone, and nobody pays a hop between threads for its own hint. No
lock is held while the socket is read. A hint may be lost: whoever waits looks at the store now and
then, and at once after every (re)connection.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection
from typing import Any

from redis.exceptions import RedisError

from task_helpers.couriers._redis.connections import Connection, Connector
from task_helpers.couriers._redis.keys import hint_channel
from task_helpers.ids import ID_BYTES

RECONNECT_PAUSE = 0.2


class HintWaiter:
    """One caller. `news` is None when it should look at all of its ids."""

    __slots__ = ("ids", "news", "signal")

    def __init__(self, ids: Collection[bytes]) -> None:
        self.ids = ids
        self.news: set[bytes] | None = set()
        self.signal = threading.Event()

    def pending(self) -> bool:
        return self.news is None or bool(self.news)


class Hints:
    """The waiters of a courier and the connection that they share."""

    def __init__(self, connector: Connector, prefix: str) -> None:
        self._connector = connector
        self._prefix = prefix
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._channel = os.urandom(8)
        self._lock = threading.Lock()
        self._waiters: dict[bytes, list[HintWaiter]] = {}
        self._followers: set[HintWaiter] = set()
        self._led = False
        self._connection: Connection | None = None

    @property
    def channel(self) -> bytes:
        """A forked child shares no socket with its parent: it gets a channel of its own."""
        if self._pid != os.getpid():
            self._start()
        return self._channel

    # --- Registration

    def register(self, ids: Collection[bytes]) -> HintWaiter:
        if self._pid != os.getpid():
            self._start()
        waiter = HintWaiter(ids)
        with self._lock:
            for task_id in ids:
                self._waiters.setdefault(task_id, []).append(waiter)
        return waiter

    def unregister(self, waiter: HintWaiter) -> None:
        with self._lock:
            for task_id in waiter.ids:
                waiters = self._waiters.get(task_id, [])
                if waiter in waiters:
                    waiters.remove(waiter)
                if not waiters:
                    self._waiters.pop(task_id, None)

    # --- Waiting

    def wait(self, waiter: HintWaiter, seconds: float) -> set[bytes] | None:
        """As the effect `Listen`."""
        until = time.monotonic() + seconds
        try:
            while not waiter.pending() and (left := until - time.monotonic()) > 0:
                if self._takes_lead(waiter):
                    self._lead(waiter, until)
                else:
                    waiter.signal.wait(left)
                    waiter.signal.clear()
        finally:
            self._leave(waiter)
        with self._lock:
            news, waiter.news = waiter.news, set()
        return news

    def _takes_lead(self, waiter: HintWaiter) -> bool:
        with self._lock:
            if self._led:
                self._followers.add(waiter)
                return False
            self._led = True
            self._followers.discard(waiter)
            return True

    def _lead(self, waiter: HintWaiter, until: float) -> None:
        try:
            while not waiter.pending() and (left := until - time.monotonic()) > 0:
                self._read(left)
        finally:
            with self._lock:
                self._led = False

    def _leave(self, waiter: HintWaiter) -> None:
        """Wakes a follower when nobody leads: the one that left may just have been chosen."""
        with self._lock:
            self._followers.discard(waiter)
            if not self._led and self._followers:
                next(iter(self._followers)).signal.set()

    # --- Reading, by the leader alone

    def _read(self, seconds: float) -> None:
        try:
            connection = self._connection or self._connected()
            if connection.can_read(timeout=seconds):
                self._deliver(connection.read_response())
        except (RedisError, OSError):
            self._disconnect()
            time.sleep(min(seconds, RECONNECT_PAUSE))
        except BaseException:
            self._disconnect()  # whoever reads next would come in the middle of a message
            raise

    def _connected(self) -> Connection:
        connection = self._connector.connection()
        self._connection = connection
        subscribe = ("SUBSCRIBE", hint_channel(self._prefix, self._channel))
        connection.send_packed_command(connection.pack_commands([subscribe]), check_health=False)
        return connection

    def _deliver(self, message: Any) -> None:
        kind, _, content = message
        if kind == b"subscribe":
            self._wake_all()
        elif kind == b"message":
            self._wake(content[at : at + ID_BYTES] for at in range(0, len(content), ID_BYTES))

    def _wake(self, ids: Any) -> None:
        with self._lock:
            for task_id in ids:
                for waiter in self._waiters.get(task_id, ()):
                    if waiter.news is not None:
                        waiter.news.add(task_id)
                    waiter.signal.set()

    def _wake_all(self) -> None:
        """Hints from before the subscription are lost."""
        with self._lock:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.news = None
                    waiter.signal.set()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.disconnect()

    def close(self) -> None:
        with self._lock:
            if not self._led:
                self._disconnect()
