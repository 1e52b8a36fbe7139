"""Time that passes when a test says so."""

from __future__ import annotations

import time


class Clock:
    """A callable that returns ms since 1970: the real time and what was added to it."""

    def __init__(self) -> None:
        self._added = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self._added

    def advance(self, seconds: float) -> None:
        self._added += round(seconds * 1000)
