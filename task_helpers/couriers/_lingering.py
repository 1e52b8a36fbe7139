"""How long a batch may fill before it is taken. Pure: moments are arguments."""

from __future__ import annotations

from task_helpers.couriers.store import Line

LOOKS = 8
"""So often per linger the line is looked at: a batch that is full waits an eighth of it at most."""

SHORTEST_PAUSE = 0.001

LONGEST_PAUSE = 0.25
"""Seconds in which whoever lingers notices that it is to stop."""


class Lingering:
    """
    One wait for a batch to fill.

    - enough - so many waiting tasks are worth taking at once.
    - linger - how long (seconds) the oldest of fewer tasks may wait for more, from when it was
      made. Its id tells that by a clock that may be wrong: nobody lingers longer than this.
    - latest - when to take whatever there is, on the monotonic clock: where others take the
      oldest each time, there is always a younger one to linger for.
    """

    def __init__(self, enough: int, linger: float, latest: float) -> None:
        self._enough = enough
        self._linger = linger
        self._latest = latest
        self._pause = min(max(linger / LOOKS, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._oldest = -1
        self._until = 0.0

    def pause(self, line: Line, moment: float) -> float:
        """Seconds until the next look, at `moment` on the monotonic clock. 0: take now."""
        if not 0 < line.length < self._enough:
            return 0
        if line.oldest_made_at != self._oldest:
            age = (line.now - line.oldest_made_at) / 1000
            self._oldest = line.oldest_made_at
            self._until = min(moment + self._linger - max(age, 0), self._latest)
        return min(max(self._until - moment, 0), self._pause)
