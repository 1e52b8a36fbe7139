"""
Waiting for hints: one Pub/Sub channel per client process, however many threads wait.

Workers publish the ids of ended tasks, and their results if these are small, on the channel named
in the task. One of the waiting threads, the leader, reads the socket and wakes the others; when it
has what it came for, it passes the lead on. So no thread exists for this alone, and nobody pays a
hop between threads for its own hint. No lock is held while the socket is read. A hint may be lost:
see `Lookout`.
"""

from __future__ import annotations

import math
import os
import time

from redis.exceptions import RedisError

from task_helpers.couriers._leading import Lead
from task_helpers.couriers._lookout import Lookout
from task_helpers.couriers._redis.connections import Connector
from task_helpers.couriers._redis.keys import hint_channel
from task_helpers.couriers._redis.subscription import Subscription
from task_helpers.effects import Listen, News
from task_helpers.forks import restart_after_fork

RECONNECT_PAUSE = 0.2


class Hints:
    """
    The connection that the waiters of a courier share.

    - lookout - where they are registered.
    """

    def __init__(self, connector: Connector, prefix: str) -> None:
        self._connector = connector
        self._prefix = prefix
        self.lookout = Lookout()
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        """A forked child shares no socket with its parent: it gets a channel of its own."""
        self.lookout.restart()
        self._channel = os.urandom(8)
        self._subscription = Subscription(
            self._connector, hint_channel(self._prefix, self._channel)
        )
        self._lead = Lead(self.lookout)

    @property
    def channel(self) -> bytes:
        """Asked for with each add. Hints that nobody waits for must not pile up in Redis."""
        if self._subscription.is_idle() and not self.lookout:
            self.close()
        return self._channel

    def listen(self, effect: Listen) -> News | None:
        """Performs it. The leader is who looks for all."""
        waiter = effect.waiter
        until = math.inf if effect.seconds is None else time.monotonic() + effect.seconds
        try:
            while not waiter.pending() and (left := until - time.monotonic()) > 0:
                if not self._lead.taken_by(waiter):
                    waiter.wait(left)
                elif self.lookout.claims_sweep():
                    return None
                else:
                    self._read(min(left, self.lookout.sweep_in()))
        finally:
            self._lead.left_by(waiter)
        return self.lookout.heard(waiter)

    def _read(self, seconds: float) -> None:
        """Done by the leader alone."""
        try:
            hint = self._subscription.read(seconds)
        except (RedisError, OSError):
            time.sleep(min(seconds, RECONNECT_PAUSE))
        else:
            self.lookout.tell(hint) if hint is not None else self.lookout.hurry()

    def close(self) -> None:
        with self.lookout.lock:
            if self._lead.is_free():
                self._subscription.close()
