"""
Waiting for hints in event loops: one subscription per loop, however many coroutines wait.

What `hints` does with threads. Nobody has to read here, the loop does. The coroutine that leads
looks for all of them now and then, and connects anew.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from task_helpers.couriers._leading import Lead
from task_helpers.couriers._lookout import Lookout
from task_helpers.couriers._loop_waiters import LoopWaiter
from task_helpers.couriers._loops import PerLoop
from task_helpers.couriers._redis.async_connections import AsyncConnector
from task_helpers.couriers._redis.hints import RECONNECT_PAUSE
from task_helpers.couriers._redis.keys import hint_channel
from task_helpers.couriers._redis.messages import understood
from task_helpers.couriers._redis.replies import Replies
from task_helpers.couriers._redis.subscription import SILENCE
from task_helpers.effects import Listen, News


class AsyncHints:
    """Those of the running loop."""

    def __init__(self, connector: AsyncConnector, prefix: str) -> None:
        self._hints = PerLoop(lambda: LoopHints(connector, prefix))

    @property
    def channel(self) -> bytes:
        return self._hints.here().channel

    @property
    def lookout(self) -> Lookout:
        return self._hints.here().lookout

    async def listen(self, effect: Listen) -> News | None:
        """Performs it."""
        return await self._hints.here().listen(effect)

    def close(self) -> None:
        self._hints.close()


class LoopHints:
    """
    Of one event loop.

    - channel - what it listens on, once somebody waits.
    - lookout - where they are registered.
    """

    def __init__(self, connector: AsyncConnector, prefix: str) -> None:
        self._connector = connector
        self._prefix = prefix
        self.channel = os.urandom(8)
        self.lookout = Lookout(LoopWaiter)
        self._subscription: LoopSubscription | None = None
        self._lead = Lead(self.lookout)

    async def listen(self, effect: Listen) -> News | None:
        """Performs it. The leader is who looks for all."""
        waiter = effect.waiter
        until = math.inf if effect.seconds is None else time.monotonic() + effect.seconds
        try:
            while not waiter.pending() and (left := until - time.monotonic()) > 0:
                if not self._lead.taken_by(waiter):
                    await waiter.bell.rest(left)
                elif self.lookout.claims_sweep():
                    return None
                else:
                    await self._watch(waiter, min(left, self.lookout.sweep_in()))
        finally:
            self._lead.left_by(waiter)
        return self.lookout.heard(waiter)

    async def _watch(self, waiter: LoopWaiter, seconds: float) -> None:
        """Done by the leader alone."""
        if self._subscription and self._subscription.is_open():
            await waiter.bell.rest(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._subscribe()
        except (RedisError, OSError):
            await asyncio.sleep(min(seconds, RECONNECT_PAUSE))
        else:
            self.lookout.hurry()

    async def _subscribe(self) -> None:
        writer = await self._connector.connect()
        subscription = LoopSubscription(writer, self._heard, self._lead.wake)
        try:
            await subscription.begin(hint_channel(self._prefix, self.channel))
        except BaseException:
            subscription.close()  # whoever leads next would take it for one that listens
            raise
        self._subscription = subscription

    def _heard(self, message: Any) -> None:
        self.lookout.tell(understood(message) or {})

    def close(self) -> None:
        if self._subscription:
            self._subscription.close()


class LoopSubscription(Replies):
    """
    - hear - what is called with each message.
    - end - what is called when there will be no more.
    """

    def __init__(
        self, writer: asyncio.StreamWriter, hear: Callable[[Any], None], end: Callable[[], None]
    ) -> None:
        super().__init__(writer)
        self._hear = hear
        self._end = end
        self._begun = self._loop.create_future()
        self._pinged_at = 0.0
        self._check = self._loop.call_later(SILENCE, self._check_silence)

    async def begin(self, channel: bytes) -> None:
        """Returns when Redis has heard it."""
        self.send([("SUBSCRIBE", channel)])
        await self._begun

    def received(self, reply: Any) -> None:
        if isinstance(reply, Exception):  # it must not listen there
            self.close()
        elif reply[0] == b"subscribe":
            if not self._begun.done():
                self._begun.set_result(None)
        else:
            self._hear(reply)

    def lost(self, error: RedisConnectionError) -> None:
        self._check.cancel()
        if not self._begun.done():
            self._begun.set_exception(error)
        self._end()

    def _check_silence(self) -> None:
        """A connection can die without a word."""
        if self._pinged_at > self.heard_at or not self.is_open():
            self.close()
            return
        if time.monotonic() - self.heard_at >= SILENCE:
            self.send([("PING",)])
            self._pinged_at = time.monotonic()
        self._check = self._loop.call_later(SILENCE, self._check_silence)
