"""Waiting in an event loop for what may happen in any thread."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

from task_helpers.couriers._lookout import Waiter


class LoopBell:
    """One coroutine rests until somebody rings. Made in the loop of that coroutine."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """From any thread; one that rang before anybody rested counts too."""
        if asyncio._get_running_loop() is self._loop:
            self._rung.set()
        else:
            with suppress(RuntimeError):  # the loop is closed, nobody rests there
                self._loop.call_soon_threadsafe(self._rung.set)

    async def rest(self, seconds: float) -> None:
        """At most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._rung.wait()
        self._rung.clear()


class LoopWaiter(Waiter):
    """A caller that is a coroutine."""

    __slots__ = ("bell",)

    def __init__(self, queue: str, missing: dict[bytes, None]) -> None:
        super().__init__(queue, missing)
        self.bell = LoopBell()

    def wake(self) -> None:
        self.bell.ring()
