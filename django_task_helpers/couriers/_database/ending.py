"""How tasks end on a database: whoever ends one deletes its row, and so there is one end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from django_task_helpers.couriers._database import vendors
from django_task_helpers.couriers._database.ends import End
from django_task_helpers.couriers._database.verbs import Verbs, each
from django_task_helpers.models import Count, DeadLetter, Result, SharedKey, Task
from task_helpers.couriers.parcels import Way
from task_helpers.couriers.stats import COUNTED
from task_helpers.ids import is_shared

MINUTE_MS = 60_000
KEPT_MINUTES = 60

PRUNE_SECONDS = 0.1
MOST_PRUNED = 1_000
"""Results that have expired are deleted in passing: by each process so many, so often."""

CANCELLED = "cancelled"

RESULT_COLUMNS = ("id", "queue", "outcome", "expires_at")
DEAD_COLUMNS = ("id", "queue", "envelope", "outcome", "weight", "place")


class Ending(Verbs):
    """Within a transaction that has locked the tasks."""

    _pruned_at = 0.0
    _pruned_in = 0

    def _end(self, queue: str, ends: Sequence[End], now: int) -> None:
        """The rows go, the outcomes come."""
        ids = [end.task_id for end in ends]
        self._delete(ids)
        expires_at = now + self._options.result_ttl_ms
        results = [(end.task_id, queue, end.outcome, expires_at) for end in ends if end.outcome]
        if results:
            vendors.insert(self._using, Result, RESULT_COLUMNS, results, RESULT_COLUMNS[1:])

    def _delete(self, ids: Sequence[bytes]) -> None:
        """Their keys are free again."""
        vendors.delete(self._using, Task, ids)
        if shared := list(filter(is_shared, ids)):
            each(shared, lambda some: [self._of(SharedKey).filter(task_id__in=some).delete()])

    def _bury(self, queue: str, outcomes: dict[bytes, bytes], now: int) -> None:
        """Copies them to the dead letters, where the oldest make room."""
        first = self._clock.places(now, len(outcomes))
        rows = self._of(Task).values_list("id", "envelope", "weight")
        tasks = each(list(outcomes), lambda some: rows.filter(id__in=some))
        dead = [
            (task_id, queue, envelope, outcomes[task_id], weight, first + at)
            for at, (task_id, envelope, weight) in enumerate(tasks)
        ]
        vendors.insert(self._using, DeadLetter, DEAD_COLUMNS, dead, DEAD_COLUMNS[1:])
        line = self._of(DeadLetter).filter(queue=queue).order_by("-place", "-id")
        over = line.values_list("id", flat=True)[self._options.max_dead_letters :][:MOST_PRUNED]
        each(list(over), lambda some: [self._of(DeadLetter).filter(id__in=some).delete()])

    # --- What is counted

    def _count(self, queue: str, ways: Iterable[Way | str], now: int) -> None:
        counts = Counter("failed" if way is Way.DEAD else str(way) for way in ways)
        if not counts:
            return
        keys = {"queue": queue, "minute": now // MINUTE_MS, "shard": self._shard}
        vendors.add_up(self._using, Count, keys, {name: counts[name] for name in COUNTED})

    # --- What is over

    def _prune(self, now: int) -> None:
        """After a transaction, in passing."""
        if time.monotonic() - self._pruned_at < PRUNE_SECONDS:
            return
        self._pruned_at = time.monotonic()
        if (minute := now // MINUTE_MS) != self._pruned_in:
            self._pruned_in = minute
            self._of(Count).filter(minute__lte=minute - KEPT_MINUTES).delete()
        expired = self._of(Result).filter(expires_at__lte=now).order_by("expires_at")
        ids = list(expired.values_list("id", flat=True)[:MOST_PRUNED])
        for some in vendors.parts_of(ids):
            with self._writing():
                rows = vendors.unlocked(self._of(Result).filter(id__in=some).order_by("id"))
                self._of(Result).filter(
                    id__in=list(rows.values_list("id", flat=True)), expires_at__lte=now
                ).delete()
