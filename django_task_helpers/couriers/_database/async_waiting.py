"""Waiting in event loops: what `waiting` does with threads."""

from __future__ import annotations

import math
import time
from typing import cast

from django_task_helpers.couriers._database.ear import Ear
from django_task_helpers.couriers._database.listener import attend, leave
from django_task_helpers.couriers._database.waiting import Rest
from task_helpers.couriers.backends import Lookout, LoopWaiter, PerLoop
from task_helpers.effects import Listen, News


class AsyncWaiting:
    """Of the running loop."""

    def __init__(self, using: str) -> None:
        self._loops = PerLoop(lambda: LoopWaiting(using))

    @property
    def channel(self) -> bytes:
        return self._loops.here().ear.channel

    @property
    def lookout(self) -> Lookout:
        return self._loops.here().ear.lookout

    async def listen(self, effect: Listen) -> News | None:
        """Performs it."""
        return await self._loops.here().listen(effect)

    async def rest(self, effect: Rest) -> object:
        """Performs it."""
        return await self._loops.here().rest(effect)

    def close(self) -> None:
        self._loops.close()


class LoopWaiting:
    """Of one event loop."""

    def __init__(self, using: str) -> None:
        self._using = using
        self.ear = Ear(using, LoopWaiter)

    async def listen(self, effect: Listen) -> News | None:
        waiter, ear = effect.waiter, self.ear
        until = math.inf if effect.seconds is None else time.monotonic() + effect.seconds
        if not ear.hears_ends:
            attend(self._using, ear)
        ear.begin(waiter)
        try:
            while not waiter.pending() and (left := until - time.monotonic()) > 0:
                if not ear.lead.taken_by(waiter):
                    await waiter.bell.rest(left)
                elif look_in := ear.look_in():
                    await waiter.bell.rest(min(left, look_in))
                elif ear.looks(waiter):
                    return None
        finally:
            ear.lead.left_by(waiter)
        return ear.heard(waiter)

    async def rest(self, effect: Rest) -> object:
        ear, until = self.ear, time.monotonic() + effect.seconds
        is_told, waiter = ear.knows(effect.queue), cast(LoopWaiter, ear.idles(effect.queue))
        if not is_told:
            attend(self._using, ear)
        try:
            for pause in ear.rests(effect.queue, effect.known):
                if (left := until - time.monotonic()) <= 0:
                    break
                await waiter.bell.rest(min(left, pause))
        finally:
            ear.idle.unregister(waiter)
        return ear.mark(effect.queue)

    def close(self) -> None:
        leave(self.ear)
