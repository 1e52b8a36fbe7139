"""How long a batch may fill before it is taken. Pure: moments are arguments."""

from __future__ import annotations

from task_helpers.couriers.parcels import Line

LOOKS = 8
"""So often per linger the line is looked at: a batch that is full waits an eighth of it at most."""

SHORTEST_PAUSE = 0.001

LONGEST_PAUSE = 0.25
"""Seconds in which whoever lingers notices that it is to stop."""


class Lingering:
    """
    Waits for a batch to fill, one after the other.

    - enough - so many waiting tasks are worth taking at once.
    - linger - how long (seconds) the oldest of fewer tasks may wait for more, from when it was
      made. Its id tells that by a clock that may be wrong, and where others take the oldest there
      is always a younger one: nobody lingers longer than this after the first look.
    """

    def __init__(self, enough: int, linger: float) -> None:
        self._enough = enough
        self._linger = linger
        self._pause = min(max(linger / LOOKS, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._oldest: int | None = None
        self._until = self._latest = 0.0

    def pause(self, line: Line, moment: float) -> float:
        """Seconds until the next look, at `moment` on the monotonic clock. 0: take now."""
        if not 0 < line.length < self._enough:
            self._oldest = None
            return 0
        if self._oldest is None:
            self._latest = moment + self._linger
        if line.oldest_made_at != self._oldest:
            age = (line.now - line.oldest_made_at) / 1000
            self._oldest = line.oldest_made_at
            self._until = min(moment + self._linger - max(age, 0), self._latest)
        return min(max(self._until - moment, 0), self._pause)
