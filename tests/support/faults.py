"""Faults as wrappers around the one callable that all I/O of a courier passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from task_helpers.couriers._redis.commands import Send, script
from task_helpers.couriers.base import TaskCourier
from task_helpers.effects import Effect


class LostReplies:
    """
    Loses the first replies of a script: Redis has run it, and nobody knows. Those of "add" also
    where it is plain commands.

    - meanwhile - called after each loss, before anybody asks again.
    """

    def __init__(
        self,
        courier: TaskCourier,
        script_name: str,
        times: int = 1,
        meanwhile: Callable[[], Any] = lambda: None,
    ) -> None:
        self._perform = courier._perform
        self._name = script_name
        self._left = times
        self._meanwhile = meanwhile
        self.lost = 0
        courier._perform = self

    def __call__(self, effect: Effect) -> Any:
        reply = self._perform(effect)
        if isinstance(effect, Send) and self._ran(effect, reply) and self.lost < self._left:
            self.lost += 1
            self._meanwhile()
            raise redis.ConnectionError("the reply was lost")
        return reply

    def _ran(self, send: Send, reply: list[Any]) -> bool:
        return calls(send, self._name) and not isinstance(reply[-1], Exception)


def calls(send: Send, name: str) -> bool:
    """Whether this is what the script of that name does, or would."""
    last, called = send.commands[-1], script(name)
    if last == ("EXEC",):
        return name == "add"
    return last[1:2] in ((called.digest,), (called.source,))


class Recorder:
    """Keeps the effects that pass, and the errors that come back."""

    def __init__(self, courier: TaskCourier) -> None:
        self._perform = courier._perform
        self.effects: list[Effect] = []
        self.errors: list[Exception] = []
        courier._perform = self

    def __call__(self, effect: Effect) -> Any:
        self.effects.append(effect)
        try:
            return self._perform(effect)
        except Exception as error:
            self.errors.append(error)
            raise

    def commands(self) -> list[Any]:
        return [c for e in self.effects if isinstance(e, Send) for c in e.commands]
