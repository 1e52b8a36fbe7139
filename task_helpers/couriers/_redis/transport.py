"""All I/O of the blocking Redis couriers passes `Transport.perform`."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from task_helpers.couriers._redis.commands import Pause, Send
from task_helpers.couriers._redis.connections import Connector, Pool
from task_helpers.couriers._redis.hints import Hints
from task_helpers.couriers._redis.shared import Shared
from task_helpers.effects import Effect, Listen, Sleep
from task_helpers.exceptions import CourierUnavailable

LONGEST_HOLD = 0.02
"""Seconds of a pause that may hold up an event loop: for a connection that broke while idle."""


class Transport:
    """Performs the effects of the Redis store with blocking sockets."""

    def __init__(self, connector: Connector, hints: Hints) -> None:
        self._shared = Shared(connector)
        self._blocking = Pool(connector)
        self._hints = hints

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Send):
            if effect.blocks:
                return self._blocking.exchange(effect.commands, effect.blocks + effect.within)
            return self._shared.exchange(effect.commands, effect.within, effect.told, effect.behind)
        if isinstance(effect, Listen):
            return self._hints.listen(effect)
        if isinstance(effect, Pause):
            _spare_event_loop(effect)
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        raise TypeError(f"{effect!r} is not an effect of the Redis store")

    def close(self) -> None:
        self._shared.close()
        self._blocking.close()
        self._hints.close()


def _spare_event_loop(pause: Pause) -> None:
    """In a coroutine the pauses of an outage would hold up all others: it is told at once."""
    with suppress(RuntimeError):
        if pause.seconds > LONGEST_HOLD and asyncio.get_running_loop():
            raise CourierUnavailable(
                f"{pause.error} In an event loop it is not asked again: await the same method of "
                "an awaitable courier, which is."
            )
