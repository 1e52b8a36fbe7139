"""
Waiting in threads, for results and for tasks: told by the database, or by looking now and then.

Of those who wait for results one looks for all.
"""

from __future__ import annotations

import math
import time

from django_task_helpers.couriers._database.ear import Ear
from django_task_helpers.couriers._database.known import Known
from django_task_helpers.couriers._database.listener import attend, leave
from task_helpers.couriers.backends import Lookout
from task_helpers.effects import Effect, Listen, News
from task_helpers.forks import restart_after_fork


class Rest(Effect):
    """
    Replies when there may be tasks in the queue, in so many seconds at the latest: the mark of now.

    - known - of the queue.
    """

    __slots__ = ("known", "queue", "seconds")

    def __init__(self, queue: str, seconds: float, known: Known) -> None:
        self.queue = queue
        self.seconds = seconds
        self.known = known


class Waiting:
    """Of threads."""

    def __init__(self, using: str) -> None:
        self._using = using
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        """A forked child waits for nothing that its parent waited for."""
        self._ear = Ear(self._using)

    @property
    def channel(self) -> bytes:
        return self._ear.channel

    @property
    def lookout(self) -> Lookout:
        return self._ear.lookout

    def listen(self, effect: Listen) -> News | None:
        """Performs it."""
        waiter, ear = effect.waiter, self._ear
        until = math.inf if effect.seconds is None else time.monotonic() + effect.seconds
        if not ear.hears_ends:
            attend(self._using, ear)
        ear.begin(waiter)
        try:
            while not waiter.pending() and (left := until - time.monotonic()) > 0:
                if not ear.lead.taken_by(waiter):
                    waiter.wait(left)
                elif look_in := ear.look_in():
                    waiter.wait(min(left, look_in))
                elif ear.looks(waiter):
                    return None
        finally:
            ear.lead.left_by(waiter)
        return ear.heard(waiter)

    def rest(self, effect: Rest) -> object:
        """Performs it."""
        ear, until = self._ear, time.monotonic() + effect.seconds
        is_told, waiter = ear.knows(effect.queue), ear.idles(effect.queue)
        if not is_told:
            attend(self._using, ear)
        try:
            for pause in ear.rests(effect.queue, effect.known):
                if (left := until - time.monotonic()) <= 0:
                    break
                waiter.wait(min(left, pause))
        finally:
            ear.idle.unregister(waiter)
        return ear.mark(effect.queue)

    def close(self) -> None:
        leave(self._ear)
