"""Event loops beside the test, and awaitable couriers as if they were blocking."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from typing import Any, Self, TypeVar

from task_helpers.effects import Effect, Perform

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, for as long as the block lasts."""

    def __enter__(self) -> Self:
        self._start()
        return self

    def _start(self) -> None:
        self._pid = os.getpid()
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._runner.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._pid != os.getpid():  # no thread goes along with a fork
            self._start()
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except CancelledError:
            raise KeyboardInterrupt from None


def awaitable(perform: Perform) -> Callable[[Effect], Awaitable[Any]]:
    """What interrupts a thread cancels a coroutine."""

    async def performed(effect: Effect) -> Any:
        try:
            return await asyncio.to_thread(perform, effect)
        except KeyboardInterrupt:
            raise asyncio.CancelledError from None

    return performed


def lookout_of(courier: Any) -> Any:
    """Where those wait who wait by this courier; of an awaitable one, in its loop."""

    async def found() -> Any:
        return courier._store.lookout

    return courier._loop.run(found()) if isinstance(courier, Blocking) else courier._store.lookout


class Blocking:
    """An awaitable courier whose methods block until their coroutine in the loop has ended."""

    def __init__(self, courier: Any, loop: LoopThread) -> None:
        vars(self).update(_courier=courier, _loop=loop)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._courier, name)
        if inspect.isasyncgenfunction(found):
            return lambda *args, **keywords: self._each(found(*args, **keywords))
        if inspect.iscoroutinefunction(found):
            found = vars(self)[name] = self._blocking(found)  # the same one each time
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        vars(self).pop(name, None)
        setattr(self._courier, name, awaitable(value) if name == "_perform" else value)

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._loop.run(method(*args, **kwargs))

    def _each(self, generator: AsyncGenerator[Any, None]) -> Iterator[Any]:
        end = object()
        try:
            while (item := self._loop.run(_next(generator, end))) is not end:
                yield item
        finally:
            self._loop.run(generator.aclose())


async def _next(generator: AsyncGenerator[Any, None], default: Any) -> Any:
    return await anext(generator, default)
