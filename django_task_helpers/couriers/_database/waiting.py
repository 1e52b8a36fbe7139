"""
Waiting by looking: at once after something came, and the longer nothing comes, the more seldom.

Of those who wait for results one looks for all. Nobody is told anything, see `telling`.
"""

from __future__ import annotations

import math
import os
import time

from task_helpers.couriers.backends import Lead, Lookout, Waiter
from task_helpers.effects import Effect, Listen, News
from task_helpers.forks import restart_after_fork

FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.2
GROWTH = 1.5

SWEEP_SECONDS = 1.0


class Rest(Effect):
    """
    Replies None when there may be tasks in the queue, but not later than in so many seconds.

    - pacing - that of the queue.
    """

    __slots__ = ("pacing", "queue", "seconds")

    def __init__(self, queue: str, seconds: float, pacing: Pacing) -> None:
        self.queue = queue
        self.seconds = seconds
        self.pacing = pacing


class Pacing:
    """How long to rest before the next look."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE

    def pause(self) -> float:
        """Longer each time."""
        pause = self._pause
        self._pause = min(GROWTH * pause, LONGEST_PAUSE)
        return pause

    def restart(self) -> None:
        """Something came: more may follow."""
        self._pause = FIRST_PAUSE


class Sweeps:
    """
    When the one who leads looks for all who wait for results.

    - lookout - where they are registered.
    """

    def __init__(self, lookout: Lookout) -> None:
        self.lookout = lookout
        self.lead = Lead(lookout)
        self._pacing = Pacing()
        self._looker: Waiter | None = None
        self._looks_since = 0.0
        self._look_at = 0.0

    def due_in(self) -> float:
        """Seconds."""
        return max(0.0, self._look_at - time.monotonic())

    def begin(self, looker: Waiter) -> None:
        """This one looks now, and listens again when it has; if it does not, another one looks."""
        self._looker, self._looks_since = looker, time.monotonic()
        self._look_at = self._looks_since + SWEEP_SECONDS

    def end(self, waiter: Waiter) -> None:
        """Said by all who begin to listen. To look takes no more than half of the time."""
        if waiter is self._looker:
            self._looker, now = None, time.monotonic()
            self._look_at = now + max(self._pacing.pause(), now - self._looks_since)

    def heard(self, waiter: Waiter) -> News:
        if news := self.lookout.heard(waiter):
            self._pacing.restart()
        return news


class Waiting:
    """Of threads."""

    def __init__(self) -> None:
        self._lookout = Lookout()
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        """A forked child waits for nothing that its parent waited for."""
        self._lookout.restart()
        self._sweeps = Sweeps(self._lookout)
        self.channel = os.urandom(8)

    @property
    def lookout(self) -> Lookout:
        return self._lookout

    def listen(self, effect: Listen) -> News | None:
        """Performs it."""
        waiter, sweeps = effect.waiter, self._sweeps
        until = math.inf if effect.seconds is None else time.monotonic() + effect.seconds
        sweeps.end(waiter)
        try:
            while not waiter.pending() and (left := until - time.monotonic()) > 0:
                if not sweeps.lead.taken_by(waiter):
                    waiter.wait(left)
                elif due_in := sweeps.due_in():
                    waiter.wait(min(left, due_in))
                else:
                    sweeps.begin(waiter)
                    return None
        finally:
            sweeps.lead.left_by(waiter)
        return sweeps.heard(waiter)

    def rest(self, effect: Rest) -> None:
        """Performs it."""
        time.sleep(min(effect.seconds, effect.pacing.pause()))
