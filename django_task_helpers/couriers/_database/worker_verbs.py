"""The worker's verbs on a database: taking, ending and holding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.db import connections

from django_task_helpers.couriers._database.concerns import concerns_of
from django_task_helpers.couriers._database.returning import Returning
from django_task_helpers.models import Worker
from task_helpers.couriers.store import WORKER_FORGOTTEN_MS
from task_helpers.effects import Flow

LONGEST_NAME = 255


class WorkerVerbs(Returning):
    """See `Store`."""

    def renew(
        self, queue: str, worker: str, tokens: Sequence[bytes], lease: int
    ) -> Flow[set[bytes]]:
        return self._ask.query(partial(self._renew, queue, worker, tokens, lease))

    def _renew(self, queue: str, worker: str, tokens: Sequence[bytes], lease: int) -> set[bytes]:
        """
        One statement changes the leases: a process that is held up while it has rows or a file
        locked holds up all others.
        """
        now = self._now()
        self._report(queue, worker[:LONGEST_NAME], now)
        if not tokens:
            return set()
        ours = self._batches(queue).filter(token__in=tokens)
        ours.update(lease_until=now + lease)
        return set(tokens).difference(ours.values_list("token", flat=True))

    def _report(self, queue: str, worker: str, now: int) -> None:
        """Who has not reported for long is not counted any more."""
        workers = self._of(Worker).filter(queue=queue)
        if not workers.filter(name=worker).update(seen_at=now):
            workers.filter(seen_at__lt=now - WORKER_FORGOTTEN_MS).delete()
            fresh = Worker(queue=queue, name=worker, seen_at=now)
            self._of(Worker).bulk_create([fresh], ignore_conflicts=True)

    def farewell(self, queue: str, worker: str) -> Flow[None]:
        workers = self._of(Worker).filter(queue=queue, name=worker[:LONGEST_NAME])
        yield from self._ask.query(lambda: workers.delete())

    def steady_for(self) -> float:
        return self._ask.health.steady_for()

    def is_gone(self) -> bool:
        return self._ask.is_gone()

    def concerns(self) -> Flow[list[str]]:
        return self._ask.query(lambda: list(concerns_of(connections[self._using])))
