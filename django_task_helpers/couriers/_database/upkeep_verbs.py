"""Looking at a queue and mending it: no caller and no worker needs this for its work."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.db.models import Count as CountOf
from django.db.models import Sum

from django_task_helpers.couriers._database import vendors
from django_task_helpers.couriers._database.admission import Admission
from django_task_helpers.couriers._database.ending import (
    CANCELLED,
    KEPT_MINUTES,
    MINUTE_MS,
    Ending,
)
from django_task_helpers.couriers._database.ends import End
from django_task_helpers.couriers._database.verbs import each
from django_task_helpers.models import Batch, Count, DeadLetter, Result, State, Task, Worker
from task_helpers import outcomes, progress
from task_helpers.couriers.parcels import IN_LINE, Buried, Way
from task_helpers.couriers.stats import COUNTED, QueueStats
from task_helpers.couriers.store import WORKER_FORGOTTEN_MS
from task_helpers.effects import Flow
from task_helpers.envelopes import channel_of
from task_helpers.ids import made_at_ms
from task_helpers.tasks import TaskStatus


class UpkeepVerbs(Admission, Ending):
    """See `Store`."""

    def cancel(self, queue: str, task_id: bytes, outcome: bytes) -> Flow[bool]:
        return self._ask.query(partial(self._cancel, queue, task_id, outcome))

    def _cancel(self, queue: str, task_id: bytes, outcome: bytes) -> bool:
        now = self._now()
        with self._writing():
            rows = self._tasks(queue).filter(id=task_id).select_for_update()
            task = rows.values_list("state", "envelope").first()
            if task is None or task[0] == State.RUNNING:
                return self._outcomes(queue, [task_id]).get(task_id) == outcome
            end = End(Way.FAILED, task_id, outcome, channel_of(task[1]))
            self._end(queue, [end], now)
            self._count(queue, [CANCELLED], now)
            self._tell.clients([end])
        return True

    def status(self, queue: str, task_id: bytes) -> Flow[TaskStatus]:
        return self._ask.query(partial(self._status, queue, task_id))

    def _status(self, queue: str, task_id: bytes) -> TaskStatus:
        row = self._tasks(queue).filter(id=task_id).values_list("state", "note").first()
        if outcome := self._outcomes(queue, [task_id]).get(task_id):
            return outcomes.status_of(outcome)
        if row is None:
            return TaskStatus.UNKNOWN
        state, note = row
        if state == State.RUNNING:
            return progress.status_of(note)
        return TaskStatus.DELAYED if state == State.DELAYED else TaskStatus.WAITING

    def stats(self, queue: str) -> Flow[QueueStats]:
        return self._ask.query(partial(self._stats, queue))

    def _stats(self, queue: str) -> QueueStats:
        now, tasks = self._now(), self._tasks(queue)
        states = tasks.values_list("state").annotate(CountOf("id")).order_by()
        lengths: dict[int, int] = dict(states)
        waiting = tasks.filter(state=State.WAITING).order_by("id").values_list("id", flat=True)
        oldest = waiting.first()
        workers = self._of(Worker).filter(queue=queue, seen_at__gt=now - WORKER_FORGOTTEN_MS)
        return QueueStats(
            waiting=lengths.get(State.WAITING, 0),
            delayed=lengths.get(State.DELAYED, 0),
            running=lengths.get(State.RUNNING, 0),
            dead=self._of(DeadLetter).filter(queue=queue).count(),
            oldest_made_at=None if oldest is None else made_at_ms(oldest),
            workers=sorted(workers.values_list("name", flat=True)),
            drain_rate=self._drain_rate(queue, now),
            **self._last_hour(queue, now),
        )

    def _last_hour(self, queue: str, now: int) -> dict[str, int]:
        recent = self._of(Count).filter(queue=queue, minute__gt=now // MINUTE_MS - KEPT_MINUTES)
        sums = recent.aggregate(**{name: Sum(name) for name in COUNTED})
        return {name: total or 0 for name, total in sums.items()}

    # --- Dead letters

    def dead_letters(self, queue: str, count: int) -> Flow[list[Buried]]:
        line = self._of(DeadLetter).filter(queue=queue).order_by("-place", "-id")[:count]
        rows = line.values_list("id", "envelope", "outcome", "place")
        found = yield from self._ask.query(lambda: list(rows))
        return [
            Buried(i, envelope, outcome, place // 1000) for i, envelope, outcome, place in found
        ]

    def requeue_dead(self, queue: str, tasks: Sequence[tuple[bytes, bytes]]) -> Flow[int]:
        return self._ask.query(partial(self._requeue_dead, queue, dict(tasks)))

    def _requeue_dead(self, queue: str, envelopes: dict[bytes, bytes]) -> int:
        """One that is queued already was queued by the call whose reply was lost."""
        now, ids = self._now(), list(envelopes)
        dead = self._of(DeadLetter).filter(queue=queue)
        with self._writing():
            rows = dead.order_by("id").select_for_update()
            weights = dict(
                each(sorted(ids), lambda some: rows.filter(id__in=some).values_list("id", "weight"))
            )
            there = len(vendors.rows_of(self._using, Task, ("id",), ids, queue=queue))
            each(ids, lambda some: [dead.filter(id__in=some).delete()])
            each(ids, lambda some: [self._of(Result).filter(id__in=some).delete()])
            for weight in set(weights.values()):
                back = [(i, envelopes[i]) for i in ids if weights.get(i) == weight]
                self._insert(queue, back, IN_LINE._replace(weight=weight), now)
        return there + len(weights)

    def delete_dead(self, queue: str, ids: Sequence[bytes]) -> Flow[int]:
        dead = self._of(DeadLetter).filter(queue=queue)
        return self._ask.query(
            lambda: sum(each(ids, lambda some: [dead.filter(id__in=some).delete()[0]]))
        )

    # --- Repair

    def repair(self, queue: str) -> Flow[int]:
        return self._ask.query(partial(self._repair, queue))

    def _repair(self, queue: str) -> int:
        """Tasks whose batch is gone, as somebody deleted rows by hand: nobody is blamed."""
        with self._writing():
            held = self._of(Batch).values("token")
            lost = self._tasks(queue).filter(state=State.RUNNING).exclude(token__in=held)
            count = lost.update(state=State.WAITING, token=None, note=None)
            self._tell.workers(queue)
            return count
