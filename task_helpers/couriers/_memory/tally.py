"""What ended within the last hour, and how fast workers drain a queue that keeps them busy."""

from __future__ import annotations

from collections import Counter

from task_helpers.couriers._drain import Drain
from task_helpers.couriers.parcels import Way
from task_helpers.couriers.stats import COUNTED

MINUTE_MS = 60_000
KEPT_MINUTES = 60
CANCELLED = "cancelled"

FIELDS: dict[Way | str, str] = {Way.DEAD: "failed"}
UNPERFORMED = (Way.EXPIRED, CANCELLED)


class Tally:
    """Counts by the minute, and the drain rate."""

    def __init__(self) -> None:
        self._minutes: dict[int, Counter[str]] = {}  # oldest first
        self.drain = Drain()

    def count(self, way: Way | str, now: int) -> None:
        minute = now // MINUTE_MS
        for old in [old for old in self._minutes if old <= minute - KEPT_MINUTES]:
            del self._minutes[old]
        self._minutes.setdefault(minute, Counter())[FIELDS.get(way, str(way))] += 1
        self.drain.note_ended(way not in UNPERFORMED)

    def last_hour(self, now: int) -> dict[str, int]:
        since = now // MINUTE_MS - KEPT_MINUTES
        recent = [counts for minute, counts in self._minutes.items() if minute > since]
        return {field: sum(counts[field] for counts in recent) for field in COUNTED}
