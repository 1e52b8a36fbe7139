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

from redis.exceptions import RedisError

from task_helpers.couriers._redis.connections import Connector
from task_helpers.couriers._redis.forks import restart_after_fork
from task_helpers.couriers._redis.keys import hint_channel
from task_helpers.couriers._redis.subscription import Subscription

RECONNECT_PAUSE = 0.2


class HintWaiter:
    """One caller. `news` is None when it should look at all of its ids."""

    __slots__ = ("ids", "news", "signal")

    def __init__(self, ids: Collection[bytes]) -> None:
        self.ids = tuple(ids)
        self.news: set[bytes] | None = set()
        self.signal = threading.Event()

    def pending(self) -> bool:
        return self.news is None or bool(self.news)


class Hints:
    """The waiters of a courier and the connection that they share."""

    def __init__(self, connector: Connector, prefix: str) -> None:
        self._connector = connector
        self._prefix = prefix
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        """A forked child shares no socket with its parent: it gets a channel of its own."""
        self._channel = os.urandom(8)
        self._subscription = Subscription(
            self._connector, hint_channel(self._prefix, self._channel)
        )
        self._lock = threading.Lock()
        self._waiters: dict[bytes, list[HintWaiter]] = {}
        self._followers: set[HintWaiter] = set()
        self._leader: HintWaiter | None = None

    @property
    def channel(self) -> bytes:
        """Asked for with each add. Hints that nobody waits for must not pile up in Redis."""
        if not self._waiters and self._subscription.is_idle():
            self.close()
        return self._channel

    # --- Registration

    def register(self, ids: Collection[bytes]) -> HintWaiter:
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
                if self._leads(waiter):
                    self._read(left)
                else:
                    waiter.signal.wait(left)
                    waiter.signal.clear()
        finally:
            self._leave(waiter)
        with self._lock:
            news, waiter.news = waiter.news, set()
        return news

    def _leads(self, waiter: HintWaiter) -> bool:
        """Who leads reads; who does not will be woken."""
        with self._lock:
            if self._leader is None:
                self._leader = waiter
            if self._leader is waiter:
                self._followers.discard(waiter)
            else:
                self._followers.add(waiter)
            return self._leader is waiter

    def _leave(self, waiter: HintWaiter) -> None:
        """Wakes a follower when nobody leads: the one that left may just have been chosen."""
        with self._lock:
            self._followers.discard(waiter)
            if self._leader is waiter:
                self._leader = None
            if self._leader is None and self._followers:
                next(iter(self._followers)).signal.set()

    def _read(self, seconds: float) -> None:
        """Done by the leader alone."""
        try:
            ids = self._subscription.read(seconds)
        except (RedisError, OSError):
            time.sleep(min(seconds, RECONNECT_PAUSE))
        else:
            self._wake(ids)

    def _wake(self, ids: list[bytes] | None) -> None:
        """None: all should look, hints may have been lost."""
        with self._lock:
            for task_id in list(self._waiters) if ids is None else ids:
                for waiter in self._waiters.get(task_id, ()):
                    if ids is None:
                        waiter.news = None
                    elif waiter.news is not None:
                        waiter.news.add(task_id)
                    waiter.signal.set()

    def close(self) -> None:
        with self._lock:
            if self._leader is None:
                self._subscription.close()
