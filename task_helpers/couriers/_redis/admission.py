"""What the door needs to know of a queue in Redis: read once a second, by one for all."""

from __future__ import annotations

import time

from task_helpers.couriers._door import Pace
from task_helpers.couriers._redis.verbs import Verbs
from task_helpers.effects import Flow
from task_helpers.exceptions import QueueFull

PACE_SECONDS = 1.0
"""So long a pace counts as known. The limit made of it is checked with every add."""


class Admission(Verbs):
    """Shared by all threads of a courier; a read or write of a dict needs no lock."""

    def _limit(self, queue: str, later: bool) -> Flow[int | None]:
        if not self._door.bounded:
            return None
        pace = (yield from self._pace(queue)) if self._door.asks_pace(later) else Pace()
        return self._door.limit(pace, later)

    def _refusal(self, queue: str, count: int, later: bool) -> Flow[QueueFull]:
        return self._door.refusal(count, (yield from self._pace(queue)), later)

    def _pace(self, queue: str) -> Flow[Pace]:
        """While one reads it anew, the others go by the last one."""
        read_at, pace = self._paces.get(queue, (0.0, Pace()))
        now = time.monotonic()
        if now - read_at < PACE_SECONDS:
            return pace
        self._paces[queue] = now, pace
        keys = self._of(queue)
        length, delayed, rate = yield from self._ask.commands(
            [("HLEN", keys.tasks), ("ZCARD", keys.delayed), ("HGET", keys.drain, "rate")],
            comforts=1,
        )
        pace = Pace(None if rate is None else float(rate), length, delayed)
        self._paces[queue] = now, pace
        return pace
