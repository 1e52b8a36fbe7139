"""What ended within the last hour, and how fast workers drain a queue that keeps them busy."""

from __future__ import annotations

from collections import Counter

from task_helpers.couriers.parcels import Way
from task_helpers.couriers.stats import COUNTED

MINUTE_MS = 60_000
KEPT_MINUTES = 60
CANCELLED = "cancelled"

FIELDS: dict[Way | str, str] = {Way.DEAD: "failed"}
UNPERFORMED = (Way.EXPIRED, CANCELLED)


class Tally:
    """
    - rate - tasks a second, while there is a backlog and a batch of it has ended; else None.
    """

    def __init__(self) -> None:
        self._minutes: dict[int, Counter[str]] = {}  # oldest first
        self.rate: float | None = None
        self._since: float | None = None
        self._ended = 0

    def count(self, way: Way | str, now: int) -> None:
        minute = now // MINUTE_MS
        for old in [old for old in self._minutes if old <= minute - KEPT_MINUTES]:
            del self._minutes[old]
        self._minutes.setdefault(minute, Counter())[FIELDS.get(way, str(way))] += 1
        self._ended += way not in UNPERFORMED

    def last_hour(self, now: int) -> dict[str, int]:
        since = now // MINUTE_MS - KEPT_MINUTES
        recent = [counts for minute, counts in self._minutes.items() if minute > since]
        return {field: sum(counts[field] for counts in recent) for field in COUNTED}

    def note_take(self, now: int, left_behind: bool) -> None:
        """From a take that leaves tasks behind to one that leaves none there is a backlog."""
        if not left_behind:
            self.rate, self._since, self._ended = None, None, 0
        elif self._since is None:
            self._since, self._ended = now, 0
        elif self._ended and now > self._since:
            self.rate = 1000 * self._ended / (now - self._since)
            if now - self._since > MINUTE_MS:
                self._since, self._ended = (self._since + now) / 2, self._ended // 2
