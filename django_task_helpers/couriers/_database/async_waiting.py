"""Waiting by looking, in event loops: what `waiting` does with threads."""

from __future__ import annotations

import asyncio
import math
import os
import time

from django_task_helpers.couriers._database.waiting import Rest, Sweeps
from task_helpers.couriers.backends import Lookout, LoopWaiter, PerLoop
from task_helpers.effects import Listen, News


class AsyncWaiting:
    """Of the running loop."""

    def __init__(self) -> None:
        self._loops = PerLoop(LoopWaiting)

    @property
    def channel(self) -> bytes:
        return self._loops.here().channel

    @property
    def lookout(self) -> Lookout:
        return self._loops.here().sweeps.lookout

    async def listen(self, effect: Listen) -> News | None:
        """Performs it."""
        return await self._loops.here().listen(effect)

    async def rest(self, effect: Rest) -> None:
        """Performs it."""
        await asyncio.sleep(min(effect.seconds, effect.pacing.pause()))

    def close(self) -> None:
        self._loops.close()


class LoopWaiting:
    """Of one event loop."""

    def __init__(self) -> None:
        self.channel = os.urandom(8)
        self.sweeps = Sweeps(Lookout(LoopWaiter))

    async def listen(self, effect: Listen) -> News | None:
        waiter, sweeps = effect.waiter, self.sweeps
        until = math.inf if effect.seconds is None else time.monotonic() + effect.seconds
        sweeps.end(waiter)
        try:
            while not waiter.pending() and (left := until - time.monotonic()) > 0:
                if not sweeps.lead.taken_by(waiter):
                    await waiter.bell.rest(left)
                elif due_in := sweeps.due_in():
                    await waiter.bell.rest(min(left, due_in))
                else:
                    sweeps.begin(waiter)
                    return None
        finally:
            sweeps.lead.left_by(waiter)
        return sweeps.heard(waiter)

    def close(self) -> None:
        """Nothing is open."""
