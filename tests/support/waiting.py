"""Instead of sleeping: run beside the test, and wait for what it is about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds after which something that should have happened counts as not happening."""


def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
    """Calls the function in a daemon thread, so that a test that fails does not hang the run."""
    future: Future[T] = Future()

    def target() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=target, daemon=True).start()
    return future


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Asks again until the condition holds, and returns what it returned."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s: {condition}")
        time.sleep(0.005)
    return value


class Stopwatch:
    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started
