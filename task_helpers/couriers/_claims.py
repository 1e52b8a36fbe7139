"""Which batches this courier holds: what it needs to know of a task between take and finish."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from task_helpers.envelopes import Header


class Held(NamedTuple):
    """A task as it was taken."""

    header: Header
    envelope: bytes


@dataclass(eq=False, slots=True)
class Claim:
    """
    One batch.

    - tasks - those that have no end yet, by id.
    - suspects - a worker died with these tasks.
    - until - when its lease runs out unless renewed, on `time.monotonic()`.
    """

    queue: str
    token: bytes
    until: float
    tasks: dict[bytes, Held] = field(default_factory=dict)
    suspects: bool = False


class Claims:
    """All claims of a courier; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_token: dict[bytes, Claim] = {}
        self._by_id: dict[tuple[str, bytes], Claim] = {}

    def add(self, claim: Claim) -> None:
        with self._lock:
            for task_id in claim.tasks:
                self._leave_older(claim.queue, task_id)
            self._by_token[claim.token] = claim
            self._by_id.update(((claim.queue, task_id), claim) for task_id in claim.tasks)

    def group(self, queue: str, ids: Iterable[bytes]) -> dict[Claim | None, list[bytes]]:
        """The ids by the claim they belong to; None for those this courier does not hold."""
        groups: dict[Claim | None, list[bytes]] = {}
        with self._lock:
            for task_id in ids:
                groups.setdefault(self._by_id.get((queue, task_id)), []).append(task_id)
        return groups

    def held_task(self, queue: str, task_id: bytes) -> Held | None:
        with self._lock:
            claim = self._by_id.get((queue, task_id))
            return claim.tasks.get(task_id) if claim else None

    def settle(self, claim: Claim, ids: Iterable[bytes]) -> bool:
        """These tasks have ended. True when the claim ended with them."""
        with self._lock:
            for task_id in ids:
                claim.tasks.pop(task_id, None)
                self._forget_id(claim, task_id)
            return not claim.tasks and self._by_token.pop(claim.token, None) is not None

    def drop(self, claim: Claim) -> bool:
        """The batch is no longer ours. False when it had ended before."""
        return self.settle(claim, list(claim.tasks))

    def held(self, queue: str) -> list[Claim]:
        with self._lock:
            return [claim for claim in self._by_token.values() if claim.queue == queue]

    def drop_overdue(self, now: float) -> None:
        """Claims nobody renewed or finished do not pile up; most of the time there are none."""
        with self._lock:
            overdue = [claim for claim in self._by_token.values() if claim.until < now]
        for claim in overdue:
            self.drop(claim)

    def _leave_older(self, queue: str, task_id: bytes) -> None:
        """
        A task taken again: its earlier batch was given to others, or lost by the store. Waiting
        for this task would keep that batch, and its lease, for ever.
        """
        if older := self._by_id.get((queue, task_id)):
            older.tasks.pop(task_id, None)
            if not older.tasks:
                self._by_token.pop(older.token, None)

    def _forget_id(self, claim: Claim, task_id: bytes) -> None:
        """The same task may meanwhile be held again, under another token."""
        if self._by_id.get((claim.queue, task_id)) is claim:
            del self._by_id[claim.queue, task_id]
