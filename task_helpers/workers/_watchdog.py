"""The thread that sees that functions keep to their time limits."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from task_helpers.time_limits import TimeLimits
from task_helpers.workers._interruptions import Interruption, make_interruption

T = TypeVar("T")

SPIN = 0.001
"""Seconds in which a function that ends looks again whether the watchdog is done with it."""


class Watch:
    """
    One run of a function. Its thread may be struck by the exception at any line, so it takes no
    lock that would stay locked: two flags say that the function is done, and that the watchdog is
    dealing with it. Each sets its own before it reads the other's.
    """

    def __init__(self, limits: TimeLimits, end_process: Callable[[], None]) -> None:
        now = time.monotonic()
        self._soft_at = math.inf if limits.soft is None else now + limits.soft
        self._hard_at = math.inf if limits.hard is None else now + limits.hard
        self._end_process = end_process
        self._interruption: Interruption | None = make_interruption() if limits.soft else None
        self._done = False
        self._is_dealt_with = False

    @property
    def next_at(self) -> float:
        """When there is something to do, on `time.monotonic()`; inf: never."""
        return min(self._soft_at, self._hard_at)

    def begin(self) -> None:
        if self._interruption:
            self._interruption.arm()

    def look(self, now: float) -> None:
        """By the watchdog, when something is to be done; after it, that is done."""
        is_hard, is_soft = self._hard_at <= now, self._soft_at <= now
        self._hard_at = math.inf if is_hard else self._hard_at
        self._soft_at = math.inf if is_soft else self._soft_at
        self._is_dealt_with = True
        try:
            if is_hard and not self._done:
                self._end_process()
            elif is_soft and self._interruption and not self._done:
                self._interruption.interrupt()
        finally:
            self._is_dealt_with = False

    def settle(self) -> None:
        """When this is over nothing strikes any more. To be called again if it was struck."""
        self._done = True
        while self._is_dealt_with:
            time.sleep(SPIN)
        if self._interruption:
            self._interruption.disarm()


class Watchdog:
    """Its thread lives from the first function with a limit until `stop`."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._watches: set[Watch] = set()
        self._looks_at = math.inf
        self._thread: threading.Thread | None = None

    def run(
        self, function: Callable[[], T], limits: TimeLimits, end_process: Callable[[], None]
    ) -> T:
        """
        Calls the function and returns what it returns. At the soft limit `SoftTimeLimitExceeded`
        is raised inside it; at the hard limit `end_process` is called, which does not come back.

        The exception strikes at most once: inside the function, or in the inner `settle` when the
        function just ends. Then the outer one cannot be struck, and nothing after it.
        """
        watch = Watch(limits, end_process)
        try:
            watch.begin()
            self._add(watch)
            try:
                return function()
            finally:
                watch.settle()
        finally:
            watch.settle()
            self._remove(watch)

    def stop(self) -> None:
        with self._changed:
            self._thread = None
            self._changed.notify()

    def _add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if self._thread is None:
                thread = threading.Thread(
                    target=self._keep, name="task_helpers time limits", daemon=True
                )
                thread.start()  # waits for the lock that is held here
                self._thread = thread
            elif watch.next_at < self._looks_at:
                self._changed.notify()

    def _remove(self, watch: Watch) -> None:
        with self._changed:
            self._watches.discard(watch)

    def _keep(self) -> None:
        with self._changed:
            while self._thread is threading.current_thread():
                self._looks_at = min((watch.next_at for watch in self._watches), default=math.inf)
                left = self._looks_at - time.monotonic()
                if left > 0:
                    self._changed.wait(None if left == math.inf else left)
                now = time.monotonic()
                due = [watch for watch in self._watches if watch.next_at <= now]
                for watch in due:
                    watch.look(now)
