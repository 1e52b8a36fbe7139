"""Performs the effects of the memory store for coroutines: nothing here holds a loop up."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from task_helpers.couriers._loop_waiters import LoopBell
from task_helpers.couriers._memory.server import MemoryServer, Step
from task_helpers.effects import Effect, Listen, News, Sleep


class AsyncMemoryServer:
    """The awaitable side of a `MemoryServer`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    async def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Step):
            await self._wait_to_be_woken(effect)
            return self._server.perform(Step(effect.act))
        if isinstance(effect, Listen):
            return await self._listen(effect)
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.seconds)
        return self._server.perform(effect)

    async def _wait_to_be_woken(self, step: Step) -> None:
        place, until = step.wake_on, time.monotonic() + step.wait
        if place is None or not step.wait:
            return
        with place.ringing(LoopBell()) as bell:
            while not place.wake and (left := until - time.monotonic()) > 0:
                await bell.rest(left)

    async def _listen(self, effect: Listen) -> News | None:
        lookout, waiter = self._server.lookout_of_loops, effect.waiter
        seconds = math.inf if effect.seconds is None else effect.seconds
        if not waiter.pending():
            await waiter.bell.rest(max(0.0, min(seconds, lookout.sweep_in())))
        if not waiter.pending() and lookout.claims_sweep():
            return None
        return lookout.heard(waiter)
