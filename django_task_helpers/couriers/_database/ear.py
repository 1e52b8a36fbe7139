"""What those who wait were told: where they are registered, and when to look without a word."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator

from django_task_helpers.couriers._database.hints import (
    channel_of_client,
    channel_of_queue,
    understood,
)
from django_task_helpers.couriers._database.known import Known
from django_task_helpers.couriers._database.pacing import Pacing
from django_task_helpers.couriers._database.signs import Signs, signs_of
from task_helpers.couriers.backends import Lead, Lookout, Waiter
from task_helpers.effects import News

SWEEP_SECONDS = 1.0
"""After so long without a word somebody looks all the same: it may have been lost."""

SWEEP_MS = 1000 * int(SWEEP_SECONDS)


class Ear:
    """
    Of the threads, or of one event loop, that use a courier. Safe for threads.

    - using - the alias of their database.
    - channel - where the ends of tasks are told.
    - lookout - who waits for results; idle - who waits for tasks, each for the channel of a queue.
    - channels - of the database, that it wants to be told of.
    - lead - who of the first looks for all of them.
    """

    def __init__(self, using: str, make_waiter: type[Waiter] = Waiter) -> None:
        self.channel = os.urandom(8)
        self.lookout = Lookout(make_waiter)
        self.idle = Lookout(make_waiter)
        self.lead = Lead(self.lookout)
        self._using = using
        self._pacing = Pacing()
        self._ours = channel_of_client(self.channel)
        self.channels = frozenset([self._ours])
        self._queues: dict[str, str] = {}
        self._open = frozenset[str]()
        self._told = Counter[str]()
        self._looker: Waiter | None = None
        self._looks_since = self._look_at = 0.0
        self._seen: object = None

    @property
    def _signs(self) -> Signs:
        """Those of now: tests rename the database of a courier that is there already."""
        return signs_of(self._using)

    # --- What the listener says

    def is_needed(self) -> bool:
        return bool(self.lookout) or bool(self.idle)

    def opened(self, channels: frozenset[str]) -> None:
        """From now on these are heard, and no others; what was told before may be lost."""
        fresh, self._open = channels - self._open, channels & self.channels
        for channel in fresh & self._open:
            self.hear(channel, "")

    def closed(self) -> None:
        """Nothing is heard any more."""
        self._open = frozenset()
        for channel in self.channels:
            self.hear(channel, "")

    def hear(self, channel: str, payload: str) -> None:
        if channel not in self.channels:
            return
        if channel != self._ours:
            self._told[channel] += 1
            self.idle.tell({channel.encode(): b""})
        elif payload:
            self.lookout.tell(understood(payload))
        else:
            self._look_at = 0.0
            self.lookout.hurry()
            self.lead.wake()

    # --- Who waits for tasks

    def knows(self, queue: str) -> bool:
        """Whether it would be told of tasks there."""
        if queue not in self._queues:
            self._queues[queue] = channel_of_queue(queue)
            self.channels |= {self._queues[queue]}
        return self._queues[queue] in self._open

    def idles(self, queue: str) -> Waiter:
        """It is woken when there may be tasks; to be unregistered from `idle`."""
        return self.idle.register(queue, {self._queues[queue].encode(): None})

    def mark(self, queue: str) -> object:
        """Equal to that of before a look: there is no reason to look again."""
        channel = self._queues[queue]
        return (self, self._told[channel]) if channel in self._open else self._signs.mark()

    def rests(self, queue: str, known: Known) -> Iterator[float]:
        """How long to rest, again and again, until it is time to look."""
        if known.empty_at is None:
            return
        if not self.knows(queue):
            yield known.pacing.pause(self._signs.longest)
        while self.mark(queue) == known.empty_at:
            is_told = self.knows(queue)
            yield SWEEP_SECONDS if is_told else known.pacing.pause(self._signs.longest)

    # --- Who waits for results, and leads

    @property
    def hears_ends(self) -> bool:
        return self._ours in self._open

    def begin(self, waiter: Waiter) -> None:
        """Said by all who begin to listen. To look takes no more than half of the time."""
        if waiter is self._looker:
            self._looker, now = None, time.monotonic()
            pause = self._pacing.pause(self._signs.longest)
            self._look_at = now + max(pause, now - self._looks_since)
            self.lead.wake()  # another one, which would wait until the look was given up

    def look_in(self) -> float:
        """Seconds until the one who leads has to see whether it looks for all."""
        if self.hears_ends:
            return self.lookout.sweep_in()
        return max(0.0, self._look_at - time.monotonic())

    def looks(self, waiter: Waiter) -> bool:
        """
        Whether the one who leads looks for all now; it says when it listens again. If it does not,
        another one looks after a while.
        """
        now, seen = time.monotonic(), self._signs.mark()
        is_news = not self.hears_ends and seen != self._seen
        if not self.lookout.claims_sweep(early=is_news):
            self._look_at = now + self._pacing.pause(self._signs.longest)
            return False
        self._looker, self._looks_since, self._seen = waiter, now, seen
        self._look_at = now + SWEEP_SECONDS
        return True

    def heard(self, waiter: Waiter) -> News:
        if news := self.lookout.heard(waiter):
            self._pacing.restart()
        return news
