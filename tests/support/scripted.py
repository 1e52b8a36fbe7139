"""A store whose answers a test has written down: for driving flows by hand, without I/O."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from task_helpers.couriers._lookout import Lookout
from task_helpers.effects import Effect, Flow


@dataclass(frozen=True)
class Verb(Effect):
    """The flow asked the store for this."""

    name: str
    arguments: tuple[Any, ...]


class ScriptedStore:
    """Every verb is one effect, which the test answers."""

    channel = b"channel."

    def __init__(self, takes_along: bool = False) -> None:
        self.takes_along = takes_along
        self.lookout = Lookout()
        self.gone = False

    def __getattr__(self, name: str) -> Any:
        def verb(*arguments: Any, **keywords: Any) -> Flow[Any]:
            return (yield Verb(name, (*arguments, *keywords.values())))

        return verb

    def bounded(self, until: float) -> ScriptedStore:
        return self

    def steady_for(self) -> float:
        return math.inf

    def is_gone(self) -> bool:
        return self.gone


class Driver:
    """Steps through a flow: `asked` is the effect that waits for a reply."""

    def __init__(self, flow: Generator[Any, Any, Any]) -> None:
        self._flow = flow
        self.result: Any = None
        self.ended = False
        self.asked: Any = None
        self._step(lambda: next(flow))

    def reply(self, value: Any) -> Driver:
        return self._step(lambda: self._flow.send(value))

    def fail(self, error: BaseException) -> Driver:
        return self._step(lambda: self._flow.throw(error))

    def _step(self, step: Any) -> Driver:
        try:
            self.asked = step()
        except StopIteration as stop:
            self.result, self.ended, self.asked = stop.value, True, None
        return self
