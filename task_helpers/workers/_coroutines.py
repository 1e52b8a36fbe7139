"""Runs coroutines one by one, and interrupts those that take too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from typing import Any, cast

from task_helpers.exceptions import SoftTimeLimitExceeded

AnyCoroutine = Coroutine[Any, Any, Any]


class Loops:
    """An event loop for each thread that asks, used by one coroutine after the other."""

    def __init__(self) -> None:
        self._own = threading.local()

    def run(self, start: Callable[[], AnyCoroutine], soft: float | None) -> Any:
        """
        What the coroutine that `start` makes returns. It sees the context variables of the caller,
        and what it sets stays its own;
        tasks that it leaves behind are cancelled.
        """
        if not hasattr(self._own, "runner"):
            self._own.runner = asyncio.Runner()
        runner: asyncio.Runner = self._own.runner
        return runner.run(_leaving_nothing(start(), soft), context=copy_context())

    def close(self) -> None:
        """The loop of this thread."""
        if hasattr(self._own, "runner"):
            self._own.runner.close()
            del self._own.runner


async def _leaving_nothing(coroutine: AnyCoroutine, soft: float | None) -> Any:
    try:
        return await (coroutine if soft is None else Limited(coroutine, soft))
    finally:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.gather(*others, return_exceptions=True)


class Limited:
    """
    Awaits a coroutine. After so many seconds what it awaits is cancelled, and it meets
    `SoftTimeLimitExceeded` there: an error that it may catch to clean up, where a `CancelledError`
    would have to pass.
    """

    def __init__(self, coroutine: AnyCoroutine, soft: float) -> None:
        self._coroutine = coroutine
        self._soft = soft
        self._is_struck = False

    def __await__(self) -> Generator[Any, None, Any]:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        timer = asyncio.get_running_loop().call_later(self._soft, self._strike, task)
        try:
            return (yield from self._drive(task))
        finally:
            timer.cancel()

    def _strike(self, task: asyncio.Task[Any]) -> None:
        self._is_struck = True
        task.cancel()

    def _drive(self, task: asyncio.Task[Any]) -> Generator[Any, None, Any]:
        step: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as stop:
                return stop.value
            try:
                yield awaited
                step = partial(self._coroutine.send, None)
            except BaseException as error:
                step = partial(self._coroutine.throw, self._seen_inside(error, task))

    def _seen_inside(self, error: BaseException, task: asyncio.Task[Any]) -> BaseException:
        if not (self._is_struck and isinstance(error, asyncio.CancelledError)):
            return error
        self._is_struck = False
        task.uncancel()
        return SoftTimeLimitExceeded()
