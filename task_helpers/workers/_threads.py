"""Threads in which an event loop has plain functions called."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple


class Returned(NamedTuple):
    """
    What a function gave. A result and not the exception of a future, which cannot be a
    `StopIteration`: whoever awaits it would wait for ever.
    """

    value: Any
    error: BaseException | None = None


class Threads:
    """
    Up to `size` of them, started when there is something to call. Used by one event loop.

    Unlike those of an executor they hold up no interpreter that is to end: a worker that was told
    twice to stop leaves now, whatever a function does.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = self._busy = 0

    async def call(self, function: Callable[[], Any]) -> Any:
        """Returns what it returns. Cancelled, it waits no longer; the function runs on."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Returned] = loop.create_future()

        def perform() -> None:
            returned = _returned(function)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._deliver, future, returned)

        self._begin(perform)
        value, error = await future
        if error is not None:
            raise error
        return value

    def dismiss(self) -> None:
        """They end after what they do; what has not begun is dropped. Does not wait for them."""
        with suppress(queue.Empty):
            while True:
                self._calls.get_nowait()
        for _ in range(self._started):
            self._calls.put(None)

    def _begin(self, perform: Callable[[], None]) -> None:
        if self._started < min(self._busy + 1, self._size):
            self._start_thread()
        self._busy += 1
        self._calls.put(perform)

    def _start_thread(self) -> None:
        """A system without room for one may have some later: until then those that are there do."""
        name = f"{self._name} {self._started + 1}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:
            if not self._started:
                raise
        else:
            self._started += 1

    def _deliver(self, future: asyncio.Future[Returned], returned: Returned) -> None:
        self._busy -= 1
        if not future.done():
            future.set_result(returned)

    def _work(self) -> None:
        while (perform := self._calls.get()) is not None:
            perform()


def _returned(function: Callable[[], Any]) -> Returned:
    try:
        return Returned(function())
    except BaseException as error:
        return Returned(None, error)
