"""A store that does not answer: since when, and how long to wait before it is asked again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 1.0


class Health:
    """When the store was last found unreachable; shared by all who ask it."""

    def __init__(self) -> None:
        self._outage_at = -math.inf
        self._silent_since: float | None = None

    def steady_for(self) -> float:
        """Seconds since the store last gave no answer, or since it was started."""
        return time.monotonic() - self._outage_at

    def silent_for(self) -> float:
        """Seconds since the first of the questions that it has not answered since."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    def note_answer(self) -> None:
        self._silent_since = None

    def note_outage(self, asked_at: float) -> None:
        self._outage_at = time.monotonic()
        if self._silent_since is None:
            self._silent_since = asked_at

    def note_start(self, seconds_ago: float) -> None:
        """A store that has just started was away: others could not reach it either."""
        self._outage_at = max(self._outage_at, time.monotonic() - seconds_ago)


def pauses(until: float) -> Iterator[float]:
    """Exponential, with jitter, so that many clients do not come back at the same moment."""
    pause = FIRST_PAUSE
    while (left := until - time.monotonic()) > 0:
        yield min(pause * random.uniform(0.5, 1), left)
        pause = min(2 * pause, LONGEST_PAUSE)
