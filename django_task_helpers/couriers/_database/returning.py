"""
How a worker ends tasks, puts them off, and gives batches back.

Who changes a batch locks its row first and then those of its tasks, by id: so nobody deadlocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db.models import Case, F, Value, When

from django_task_helpers.couriers._database import at_once, vendors
from django_task_helpers.couriers._database.admission import TASK_COLUMNS
from django_task_helpers.couriers._database.ear import SWEEP_MS
from django_task_helpers.couriers._database.ending import MINUTE_MS, Ending
from django_task_helpers.couriers._database.ends import End, one_by_one
from django_task_helpers.couriers._database.ranks import (
    ALONE,
    CONVICTED,
    IN_COMPANY,
    TAKEN_ALONE,
    TAKEN_BY_FEW,
    rank_of,
)
from django_task_helpers.couriers._database.taking import Taking, unpacked
from django_task_helpers.couriers._database.verbs import each
from django_task_helpers.models import Batch, State, Task
from task_helpers.couriers.backends import chunks
from task_helpers.couriers.parcels import Again, Ends, Reclaimed, Way
from task_helpers.effects import Flow

NOTHING_BACK = Reclaimed(0, None)

CHANGED_COLUMNS = (*TASK_COLUMNS, "token", "note")
PUT_OFF_COLUMNS = tuple(name for name in CHANGED_COLUMNS if name not in ("id", "queue", "weight"))

FEW_ROWS = 100
"""Of those that get a value each: the database looks through as many for every row."""


class Returning(Taking, Ending):
    """See `Store`."""

    # --- Ends

    def finish(
        self, queue: str, token: bytes, ends: Sequence[Ends], *, last: bool
    ) -> Flow[set[bytes]]:
        refused, rows = set[bytes](), one_by_one(ends)
        left = len(rows)
        for chunk in chunks(rows, lambda end: len(end.outcome)) if rows else [[]]:
            left -= len(chunk)
            finish = partial(self._finish, queue, token, chunk, last and not left)
            refused |= yield from self._ask.query(finish)
        return refused

    def _finish(self, queue: str, token: bytes, ends: Sequence[End], last: bool) -> set[bytes]:
        now = self._now()
        alone = at_once.can(self._using) and at_once.can_finish(ends)
        finish = self._finish_at_once if alone else self._finish_in_steps
        with self._writing(alone):
            accepted = finish(queue, token, ends, last, now)
        self._known[queue].drain.note_ended(sum(end.way is not Way.EXPIRED for end in accepted))
        self._prune(now)
        return self._refused(queue, set(ends).difference(accepted))

    def _finish_at_once(
        self, queue: str, token: bytes, ends: Sequence[End], last: bool, now: int
    ) -> Sequence[End]:
        """Successes only, with which it does not matter whose they are."""
        expires_at = now + self._options.result_ttl_ms
        batch = at_once.Ended(queue, token, last, expires_at, now // MINUTE_MS, self._shard)
        ended = at_once.finish(self._using, batch, ends)
        if len(ended) == len(ends):
            return ends
        accepted = [end for end in ends if end.task_id in ended]
        self._tell.clients(accepted)
        return accepted

    def _finish_in_steps(
        self, queue: str, token: bytes, ends: Sequence[End], last: bool, now: int
    ) -> Sequence[End]:
        held = self._hold(queue, token, last)
        tokens = dict(self._locked(queue, [end.task_id for end in ends], "id", "token"))
        accepted = [end for end in ends if _accepts(end, tokens, token if held else None)]
        if dead := {end.task_id: end.outcome for end in accepted if end.way is Way.DEAD}:
            self._bury(queue, dead, now)
        self._end(queue, accepted, now)
        self._count(queue, [end.way for end in accepted], now)
        self._tell.clients(accepted)
        return accepted

    def _hold(self, queue: str, token: bytes, last: bool = False) -> bool:
        """Locks the batch; whether it is there."""
        held = vendors.rows_of(self._using, Batch, ("token",), [token], lock=True, queue=queue)
        if held and last:
            vendors.delete(self._using, Batch, [token])
        return bool(held)

    def _refused(self, queue: str, ends: set[End]) -> set[bytes]:
        """A repeat is not refused: its outcome is stored already."""
        if not ends:
            return set()
        found = self._outcomes(queue, [end.task_id for end in ends])
        return {end.task_id for end in ends if found.get(end.task_id, b"") != end.outcome}

    # --- Tasks that are performed again, or say how far they are

    def retry(self, queue: str, token: bytes, tasks: Sequence[Again]) -> Flow[set[bytes]]:
        refused: set[bytes] = set()
        for chunk in chunks(tasks, lambda task: len(task.envelope)):
            refused |= yield from self._ask.query(partial(self._retry, queue, token, chunk))
        return refused

    def _retry(self, queue: str, token: bytes, tasks: Sequence[Again]) -> set[bytes]:
        now, ids = self._now(), [task.task_id for task in tasks]
        with self._writing():
            held = self._hold(queue, token)
            found = {row[0]: row[1:] for row in self._locked(queue, ids, "id", "state", "token")}
            running = (State.RUNNING, token)
            again = [task for task in tasks if held and found.get(task.task_id) == running]
            fixed = (queue, State.DELAYED, 0)
            rest = (0, 0, None, None)  # the weight stays; no crashes, no token, no note
            rows = [
                (i, 1000 * (now + delay), envelope, *fixed, priority, *rest)
                for i, envelope, delay, priority in again
            ]
            self._change(rows, *PUT_OFF_COLUMNS)
            if any(task.delay < SWEEP_MS for task in again):
                self._tell.workers(queue)
        delayed = {task_id for task_id, row in found.items() if row[0] == State.DELAYED}
        return set(ids).difference(delayed, (task.task_id for task in again))

    def progress(
        self, queue: str, token: bytes, notes: Sequence[tuple[bytes, bytes]]
    ) -> Flow[None]:
        for chunk in chunks(notes, lambda note: len(note[1])):
            yield from self._ask.query(partial(self._note, queue, token, dict(chunk)))

    def _note(self, queue: str, token: bytes, notes: dict[bytes, bytes]) -> None:
        with self._writing():
            if not self._hold(queue, token):
                return
            running = (State.RUNNING, token)
            ids = [
                row[0]
                for row in self._locked(queue, list(notes), "id", "state", "token")
                if row[1:] == running
            ]
            self._change([(i, 0, b"", queue, 0, 0, 0, 0, 0, token, notes[i]) for i in ids], "note")

    def _locked(self, queue: str, ids: Sequence[bytes], *columns: str) -> list[tuple[Any, ...]]:
        """Of those that are unfinished."""
        return vendors.rows_of(self._using, Task, columns, ids, lock=True, queue=queue)

    def _change(self, rows: Sequence[tuple[Any, ...]], *changes: str) -> None:
        """They are there, and locked: none is inserted."""
        if rows:
            vendors.insert(self._using, Task, CHANGED_COLUMNS, rows, changes)

    # --- Batches that are given up

    def release(self, queue: str, token: bytes) -> Flow[None]:
        return self._ask.query(partial(self._release, queue, token))

    def _release(self, queue: str, token: bytes) -> None:
        """To the head of the line, where nobody is suspected."""
        with self._writing():
            if batch := self._locked_batch(queue, token):
                self._requeue(batch, self._now(), blame=0)

    def reclaim(
        self, queue: str, token: bytes, lease: int, *, dead: bool = False
    ) -> Flow[Reclaimed]:
        return self._ask.query(partial(self._reclaim_now, queue, token, lease, dead))

    def _reclaim_now(self, queue: str, token: bytes, lease: int, dead: bool) -> Reclaimed:
        now = self._now()
        with self._writing():
            batch = self._locked_batch(queue, token, busy=dead)
            if batch is None or (batch.lease_until > now and not dead):
                return NOTHING_BACK
            if batch.alone and (convicted := self._convicted(batch)):
                self._batches(queue).filter(token=token).update(lease_until=now + lease)
                return Reclaimed(0, convicted)
            blame = ALONE if batch.alone else IN_COMPANY
            return Reclaimed(self._requeue(batch, now, blame), None)

    def _locked_batch(self, queue: str, token: bytes, busy: bool = True) -> Batch | None:
        """
        - busy - False: not one that somebody else has locked. Its worker may be stopped, and would
          stop whoever waits for it.
        """
        batch = self._batches(queue).filter(token=token)
        return (batch.select_for_update() if busy else vendors.unlocked(batch)).first()

    def _convicted(self, batch: Batch) -> tuple[bytes, bytes] | None:
        """Of a batch of one: its task, if it has now crashed alone often enough."""
        rows = self._tasks(batch.queue).filter(id=batch.task_ids, token=batch.token)
        guilty = rows.filter(crashes__gte=CONVICTED - ALONE).values_list("id", "envelope")
        return guilty.first()

    def _requeue(self, batch: Batch, now: int, blame: int) -> int:
        """Dissolves the batch. How many of its tasks wait again: suspects behind their like."""
        suspects, others = list[bytes](), list[bytes]()
        crashes = self._crashes_in(batch)
        for task_id, count in crashes.items():
            (suspects if count + blame else others).append(task_id)
        back = {"state": State.WAITING, "token": None, "note": None}
        rows = self._of(Task)
        each(others, lambda some: [rows.filter(id__in=some).update(rank=rank_of(0), **back)])
        blamed = {"rank": _rank_after(blame), "crashes": F("crashes") + blame}
        each(suspects, lambda some: [rows.filter(id__in=some).update(**blamed, **back)])
        self._place(suspects, self._clock.places(now, len(suspects)))
        self._place(others, self._before(batch.queue) - len(others))
        batch.delete(using=self._using)
        self._tell.workers(batch.queue)
        return len(crashes)

    def _crashes_in(self, batch: Batch) -> dict[bytes, int]:
        """By id, those that are still in it, in its order."""
        ids = unpacked(batch.task_ids)
        rows = self._locked(batch.queue, ids, "id", "token", "crashes")
        crashes = {task_id: count for task_id, token, count in rows if token == batch.token}
        return {task_id: crashes[task_id] for task_id in ids if task_id in crashes}

    def _before(self, queue: str) -> int:
        """The place of the first in line at priority 0."""
        line = self._tasks(queue).filter(state=State.WAITING, rank=rank_of(0))
        first = line.order_by("place").values_list("place", flat=True).first()
        return 0 if first is None else first

    def _place(self, ids: Sequence[bytes], first: int) -> None:
        rows = [Task(id=task_id, place=first + at) for at, task_id in enumerate(ids)]
        self._of(Task).bulk_update(rows, ["place"], batch_size=FEW_ROWS)

    def leases(self, queue: str) -> Flow[list[bytes]]:
        return self._ask.query(lambda: list(self._batches(queue).values_list("token", flat=True)))


def _accepts(end: End, tokens: dict[bytes, bytes | None], held: bytes | None) -> bool:
    """Only the first end of a task counts; an error only under the lease of its batch."""
    if end.task_id not in tokens:
        return False
    if end.way is Way.DONE or (held is not None and tokens[end.task_id] == held):
        del tokens[end.task_id]
        return True
    return False


def _rank_after(blame: int) -> Case:
    """Said before the crashes are changed: MySQL sets one after the other."""
    once = When(crashes=IN_COMPANY - blame, then=Value(TAKEN_BY_FEW))
    return Case(once, default=Value(TAKEN_ALONE))
