"""A courier's connection as a random test needs it: it loses replies, and no pause takes time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import redis

from task_helpers.couriers._redis.commands import Send
from task_helpers.effects import Effect, Sleep
from tests.support.faults import calls


class Wire:
    """
    A courier's connection on which no pause takes time.

    - loses - the script whose next reply gets lost; meanwhile - what happens until the repeat.
    - was_cut - the grace that follows an outage is not over.
    """

    def __init__(self, courier: Any) -> None:
        self._asking = courier._store._ask
        self._perform = courier._perform
        self.loses, self.was_cut = "", False
        self.meanwhile: Callable[[], Any] = lambda: None
        courier._perform = self

    def __call__(self, effect: Effect) -> Any:
        if isinstance(effect, Sleep):
            self.set_grace(self.was_cut)
            return None
        reply = self._perform(effect)
        if isinstance(effect, Send) and self._matches(effect, reply[-1]):
            self.loses = ""
            self.meanwhile()
            raise redis.ConnectionError("the reply was lost")
        return reply

    def set_grace(self, was_cut: bool) -> None:
        self.was_cut = was_cut
        self._asking.health._outage_at = math.inf if was_cut else -math.inf

    def _matches(self, send: Send, reply: Any) -> bool:
        if self.loses in ("", "any"):
            return bool(self.loses)
        return calls(send, self.loses) and not isinstance(reply, Exception)
