"""What belongs to one event loop: made when a coroutine of it first asks, closed when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from task_helpers.forks import restart_after_fork


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)

Lifetime = AsyncGenerator[None, None]


class PerLoop(Generic[C]):
    """
    One `C` per event loop. Safe for loops in many threads and after a fork.

    - make - called in the loop that it is for.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        self._by_loop: dict[asyncio.AbstractEventLoop, tuple[C, Lifetime]] = {}

    def here(self) -> C:
        """That of the running loop; `RuntimeError` where none runs."""
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            self._forget_closed()
            made = self._make()
            self._by_loop[loop] = made, self._begun(self._lifetime(loop, made))
        return self._by_loop[loop][0]

    def close(self) -> None:
        """That of the running loop, which may be used again."""
        if entry := self._by_loop.get(asyncio.get_running_loop()):
            entry[0].close()

    def _forget_closed(self) -> None:
        """Of loops that were closed without ending their asynchronous generators."""
        for loop in [loop for loop in list(self._by_loop) if loop.is_closed()]:
            self._by_loop.pop(loop)[0].close()

    async def _lifetime(self, loop: asyncio.AbstractEventLoop, made: C) -> Lifetime:
        """
        Loops end their asynchronous generators before they close (`asyncio.run` does, and so do
        the servers and test runners): the one moment at which connections can still be closed.
        """
        try:
            yield
        finally:
            self._by_loop.pop(loop, None)
            made.close()

    def _begun(self, lifetime: Lifetime) -> Lifetime:
        _step(lifetime.asend(None))
        return lifetime


def _step(awaitable: Coroutine[Any, Any, Any]) -> None:
    """To the next `yield`; nothing is awaited on the way there."""
    with suppress(StopIteration, StopAsyncIteration):
        awaitable.send(None)
