"""Whether a queue takes more tasks."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Sum

from django_task_helpers.couriers._database import vendors
from django_task_helpers.couriers._database.ear import SWEEP_MS
from django_task_helpers.couriers._database.ranks import rank_of
from django_task_helpers.couriers._database.verbs import Verbs
from django_task_helpers.models import Drain, State, Task
from task_helpers.couriers.backends import Pace
from task_helpers.couriers.parcels import Placement

TASK_COLUMNS = (
    *("id", "place", "envelope", "queue", "state"),
    *("rank", "priority", "weight", "crashes"),
)

FRESH_MS = 60_000
"""A process that measured nothing for so long works no more."""


class Admission(Verbs):
    """
    Who adds at the same moment from elsewhere may get in too: to count exactly, all of them would
    have to wait for each other.
    """

    def _admit(
        self, queue: str, ids: Sequence[bytes], count: int, place: Placement, now: int
    ) -> None:
        """Raises QueueFull when there is no room for so many, beyond those that are there."""
        if not self._door.bounded or not count:
            return
        pace = self._pace(queue, now, self._door.asks_pace(place.later))
        limit = self._door.limit(pace, place.later)
        if limit is None or pace.length + count <= limit:
            return
        there = vendors.rows_of(self._using, Task, ("id",), ids, queue=queue)
        if len(there) < len(ids):
            rate = self._drain_rate(queue, now)
            raise self._door.refusal(count - len(there), pace._replace(rate=rate), place.later)

    def _insert(
        self, queue: str, tasks: Sequence[tuple[bytes, bytes]], place: Placement, now: int
    ) -> None:
        due = now + place.delay if place.delay else place.due
        first = 1000 * due if due else self._clock.places(now, len(tasks))
        state = State.DELAYED if due else State.WAITING
        kind = (
            queue,
            state,
            0 if due else rank_of(place.priority),
            place.priority,
            place.weight,
            0,
        )
        rows = [(i, first + at, envelope, *kind) for at, (i, envelope) in enumerate(tasks)]
        is_soon = not due or due - now < SWEEP_MS
        told = self._tell.workers_along(queue) if is_soon else vendors.NOTHING
        vendors.insert(self._using, Task, TASK_COLUMNS, rows, returning=told)

    def _pace(self, queue: str, now: int, asks_rate: bool) -> Pace:
        tasks = self._tasks(queue)
        rate = self._drain_rate(queue, now) if asks_rate else None
        delayed = tasks.filter(state=State.DELAYED).count() if rate is not None else 0
        return Pace(rate, tasks.count(), delayed)

    def _drain_rate(self, queue: str, now: int) -> float | None:
        """That of all processes together; None where there is no backlog."""
        drains = self._of(Drain).filter(queue=queue, seen_at__gt=now - FRESH_MS)
        rate: float | None = drains.aggregate(rate=Sum("rate"))["rate"]
        return rate
