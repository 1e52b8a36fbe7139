"""
Flows: operations written once, without I/O, for blocking and awaitable couriers alike.

A flow is a generator. It yields an effect (what it wants done), is sent the reply, and returns
its result. All I/O of a courier passes the one `perform` callable that drives its flows: that is
where tests count round trips and inject faults. The idea is httpx's (its auth flows).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class Effect:
    """Something that only the outside can do. A store adds effects of its own."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Sleep(Effect):
    """Replies None, after so many seconds."""

    seconds: float


News = dict[bytes, bytes]
"""Tasks that have ended, by id: the outcome, empty where it has to be asked for."""


@dataclass(frozen=True, slots=True)
class Listen(Effect):
    """
    Waits for news, at most so many seconds.

    - waiter - one caller's registration at the lookout of its store.
    - seconds - None: as long as it takes.

    Replies the `News` since the last time; {} when the time is up. Now and then None, to one of
    all who listen: it has to look for all of them.
    """

    waiter: Any
    seconds: float | None


Flow = Generator[Effect, Any, T]
Perform = Callable[[Effect], Any]


def run(flow: Flow[T], perform: Perform) -> T:
    """Drives a flow with a blocking `perform`; errors of an effect are raised inside the flow."""
    try:
        effect = next(flow)
        while True:
            try:
                reply = perform(effect)
            except BaseException as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def arun(flow: Flow[T], perform: Callable[[Effect], Awaitable[Any]]) -> T:
    """As `run`, with an awaitable `perform`."""
    try:
        effect = next(flow)
        while True:
            try:
                reply = await perform(effect)
            except BaseException as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
