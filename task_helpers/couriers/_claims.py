"""Which batches this courier holds: what it needs to know of a task between take and finish."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from task_helpers.couriers._chunks import grouped
from task_helpers.ids import all_to_bytes, to_bytes


@dataclass(eq=False, slots=True)
class Claim:
    """
    One batch.

    - tasks - the envelopes of those that have no end yet, by id.
    - task_ids - those of all, in their order, as their worker got them; [] unless it got all at
      once.
    - channel - where the clients of all tasks listen; None: they differ.
    - suspects - a worker died with these tasks.
    - ending - its ends are on their way: nobody performs it any more, and nobody else must.
    - until - when its lease runs out unless renewed, on `time.monotonic()`.
    """

    queue: str
    token: bytes
    until: float
    tasks: dict[bytes, bytes] = field(default_factory=dict)
    task_ids: list[UUID] = field(default_factory=list)
    channel: bytes | None = None
    suspects: bool = False
    ending: bool = False

    def ends_with(self, ids: Sequence[bytes]) -> bool:
        """Whether none of its tasks is left when these have ended."""
        return list(self.tasks) == ids or self.tasks.keys() <= set(ids)


class Claims:
    """All claims of a courier; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_token: dict[bytes, Claim] = {}
        self._by_id: defaultdict[str, dict[bytes, Claim]] = defaultdict(dict)  # of each queue

    def add(self, claim: Claim) -> None:
        with self._lock:
            by_id = self._by_id[claim.queue]
            for task_id in by_id.keys() & claim.tasks.keys():
                self._leave(by_id[task_id], task_id)
            self._by_token[claim.token] = claim
            by_id.update(dict.fromkeys(claim.tasks, claim))

    def ids_of(self, queue: str, task_ids: list[UUID | str]) -> list[bytes]:
        """The bytes of ids as users hold them. Of a whole batch in its order they are known."""
        if not task_ids:
            return []
        with self._lock:
            claim = self._by_id[queue].get(to_bytes(task_ids[0]))
            if claim and len(claim.tasks) == len(task_ids) and claim.task_ids == task_ids:
                return list(claim.tasks)
        return all_to_bytes(task_ids)

    def group(self, queue: str, ids: Sequence[bytes]) -> dict[Claim | None, list[bytes]]:
        """The ids by the claim they belong to; None for those this courier does not hold."""
        with self._lock:
            return grouped(ids, self._by_id[queue].get)

    def held_task(self, queue: str, task_id: bytes) -> bytes | None:
        """Its envelope."""
        with self._lock:
            claim = self._by_id[queue].get(task_id)
            return claim.tasks.get(task_id) if claim else None

    def settle(self, claim: Claim, ids: Iterable[bytes]) -> bool:
        """These tasks have ended. True when the claim ended with them."""
        with self._lock:
            by_id = self._by_id[claim.queue]
            for task_id in ids:
                if claim.tasks.pop(task_id, None) is not None:
                    by_id.pop(task_id, None)
            return self._is_over(claim)

    def drop(self, claim: Claim) -> bool:
        """All of its tasks have ended, or are no longer ours. False when it was over before."""
        with self._lock:
            by_id = self._by_id[claim.queue]
            for task_id in claim.tasks:
                by_id.pop(task_id, None)
            claim.tasks.clear()
            return self._is_over(claim)

    def _is_over(self, claim: Claim) -> bool:
        return not claim.tasks and self._by_token.pop(claim.token, None) is not None

    def held(self, queue: str) -> list[Claim]:
        with self._lock:
            return [claim for claim in self._by_token.values() if claim.queue == queue]

    def drop_overdue(self, now: float) -> None:
        """Claims nobody renewed or finished do not pile up; most of the time there are none."""
        with self._lock:
            claims = self._by_token.values()
            overdue = [each for each in claims if each.until < now and not each.ending]
        for claim in overdue:
            self.drop(claim)

    def _leave(self, older: Claim, task_id: bytes) -> None:
        """
        A task taken again: its earlier batch was given to others, or lost by the store. Waiting
        for this task would keep that batch, and its lease, for ever.
        """
        older.tasks.pop(task_id, None)
        if not older.tasks:
            self._by_token.pop(older.token, None)
