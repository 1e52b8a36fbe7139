"""How a worker takes a batch of tasks from a database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Unpack

from django.db.models import F

from django_task_helpers.couriers._database import at_once, claims, vendors
from django_task_helpers.couriers._database.claims import NewBatch
from django_task_helpers.couriers._database.known import Known
from django_task_helpers.couriers._database.ranks import FIRST, Stage, rank_of, stage_of
from django_task_helpers.couriers._database.verbs import Verbs, each
from django_task_helpers.couriers._database.waiting import Rest
from django_task_helpers.models import Drain, State, Task
from task_helpers.couriers.parcels import Line, Taken, TakeOptions
from task_helpers.couriers.store import MAX_BATCH
from task_helpers.effects import Flow
from task_helpers.ids import ID_BYTES, made_at_ms

MOST_OVERDUE = 10

DRAIN_SECONDS = 1.0
"""How often a process says how fast it is."""


NO_TOKEN = b""


class Taking(Verbs):
    """See `Store`."""

    def take(
        self,
        queue: str,
        token: bytes,
        max_count: int,
        lease: int,
        wait: float = 0,
        **how: Unpack[TakeOptions],
    ) -> Flow[Taken]:
        mark = yield from self._wait_for_tasks(queue, wait)
        beside, max_weight = how.get("beside", False), how.get("max_weight")
        take = partial(self._take, queue, token, max_count, lease, beside, max_weight)
        taken: Taken = yield from self._ask.query(take)
        self._known[queue].note_look(mark, bool(taken.tasks))
        return taken

    def line(self, queue: str, wait: float = 0) -> Flow[Line]:
        mark = yield from self._wait_for_tasks(queue, wait)
        line: Line = yield from self._ask.query(partial(self._line, queue))
        self._known[queue].note_look(mark, bool(line.length))
        return line

    def _wait_for_tasks(self, queue: str, wait: float) -> Flow[object]:
        """Until there may be some: where nobody tells, not for as long as it could. See `Rest`."""
        return (yield Rest(queue, wait, self._known[queue])) if wait else None

    # --- Taking

    def _take(
        self,
        queue: str,
        token: bytes,
        max_count: int,
        lease: int,
        beside: bool,
        max_weight: int | None,
    ) -> Taken:
        now, ahead = self._now(), claims.ahead(self._using, queue, token)
        if _is_due(ahead.due, now):
            self._promote(queue, now)
            ahead = claims.ahead(self._using, queue, token)
        if ahead.taken:
            tasks, suspects = self._taken_before(queue, token, now + lease)
        elif ahead.rank is None:
            tasks, suspects = {}, False
            self._measure(queue, now, left_behind=False)
        else:
            suspects = ahead.rank < FIRST
            batch = NewBatch(queue, token, now + lease, beside and not suspects, suspects)
            tasks = dict(self._claim(batch, stage_of(ahead.rank, max_count), max_weight, now))
        next_due = None if ahead.due is None else ahead.due // 1000
        return Taken(tasks, now, next_due, self._overdue(queue, ahead.lease, now), suspects)

    def _promote(self, queue: str, now: int) -> None:
        """Delayed tasks that are due stand in line where they would if they were added then."""
        due = self._tasks(queue).filter(state=State.DELAYED, rank=0, place__lt=1000 * (now + 1))
        with self._writing():
            rows = vendors.unlocked(due.order_by("place", "id"))[:MAX_BATCH]
            ids = list(rows.values_list("id", flat=True))
            each(
                ids,
                lambda some: [
                    self._of(Task)
                    .filter(id__in=some)
                    .update(state=State.WAITING, rank=rank_of(0) - F("priority"))
                ],
            )

    def _claim(
        self, batch: NewBatch, stage: Stage, max_weight: int | None, now: int
    ) -> list[tuple[bytes, bytes]]:
        alone = at_once.can(self._using)
        claim = at_once.claim if alone else claims.claim
        with self._writing(alone):
            tasks, looked_at = claim(self._using, batch, stage, max_weight)
        if tasks:
            is_all = len(tasks) == looked_at < stage.most and not batch.suspects
            left_behind = not is_all and claims.is_waiting(self._using, batch.queue)
            self._measure(batch.queue, now, left_behind)
        return tasks

    def _taken_before(
        self, queue: str, token: bytes, lease_until: int
    ) -> tuple[dict[bytes, bytes], bool]:
        """What the take gave whose reply was lost; the lease is a fresh one."""
        self._batches(queue).filter(token=token).update(lease_until=lease_until)
        for task_ids, suspects in (
            self._batches(queue).filter(token=token).values_list("task_ids", "suspects")
        ):
            return self._envelopes(unpacked(task_ids), token), suspects
        return {}, False

    def _envelopes(self, ids: Sequence[bytes], token: bytes) -> dict[bytes, bytes]:
        found = dict(vendors.rows_of(self._using, Task, ("id", "envelope"), ids, token=token))
        return {task_id: found[task_id] for task_id in ids if task_id in found}

    def _overdue(self, queue: str, lease: int | None, now: int) -> list[bytes]:
        if lease is None or lease > now:
            return []
        over = self._batches(queue).filter(lease_until__lte=now).order_by("lease_until")
        return list(over.values_list("token", flat=True)[:MOST_OVERDUE])

    # --- The line

    def _line(self, queue: str) -> Line:
        """No batch is larger than what is looked at."""
        now, ahead = self._now(), claims.ahead(self._using, queue, NO_TOKEN)
        if _is_due(ahead.due, now):
            self._promote(queue, now)
        waiting = self._tasks(queue).filter(state=State.WAITING).order_by("rank", "place", "id")
        rows = list(waiting.values_list("rank", "id")[:MAX_BATCH])
        if not rows or rows[0][0] < FIRST:
            return Line(len(rows), 0, now)
        return Line(len(rows), min(made_at_ms(task_id) for _, task_id in rows), now)

    # --- The drain rate

    def _measure(self, queue: str, now: int, left_behind: bool) -> None:
        """Each process says how fast it is; a queue that is worked off has no rate."""
        known = self._known[queue]
        had_backlog = known.drain.has_backlog
        known.drain.note_take(now, left_behind)
        if had_backlog and not left_behind:
            self._of(Drain).filter(queue=queue).delete()
            known.rate_said_at = 0.0
        elif (rate := known.drain.rate) is not None:
            self._say_rate(queue, known, rate, now)

    def _say_rate(self, queue: str, known: Known, rate: float, now: int) -> None:
        """Not more often than others ask."""
        if time.monotonic() - known.rate_said_at < DRAIN_SECONDS:
            return
        known.rate_said_at = time.monotonic()
        row = self._of(Drain).filter(queue=queue, shard=self._shard)
        if not row.update(rate=rate, seen_at=now):
            made = Drain(queue=queue, shard=self._shard, rate=rate, seen_at=now)
            self._of(Drain).bulk_create([made], ignore_conflicts=True)


def unpacked(task_ids: bytes) -> list[bytes]:
    return [task_ids[at : at + ID_BYTES] for at in range(0, len(task_ids), ID_BYTES)]


def _is_due(place: int | None, now: int) -> bool:
    return place is not None and place // 1000 <= now
