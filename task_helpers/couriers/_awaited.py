"""Waiting for results, as a flow: hinted ids are read at once, all others now and then."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Self

from task_helpers import ids
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.store import Store
from task_helpers.effects import Flow, Listen
from task_helpers.exceptions import TaskLost, TaskTimeout

FIRST_LOOK = 0.1
LONGEST_PAUSE = 1.0
"""Seconds. Hints are only hints: looks come after 0.1, 0.2, 0.4, … seconds, then every second."""

LOOK_TASKS = 1_000
"""Most tasks of one look: a look costs the store up to one command a task, a hint none."""


class Awaited:
    """
    The results that one caller waits for. Hints count from `with` on, so enter it before the
    tasks are added, and none is missed.

    - tasks - (id, envelope) of those that the caller still holds: a store that was away and came
      back without them is given them again.
    """

    def __init__(
        self,
        store: Store,
        wire: Wire,
        queue: str,
        task_ids: Iterable[bytes],
        tasks: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._store = store
        self._wire = wire
        self._queue = queue
        self._missing = dict.fromkeys(task_ids)
        self._tasks = dict(tasks)
        self._found: dict[bytes, bytes] = {}
        self._pause = FIRST_LOOK
        self._next_look = 0.0

    def __enter__(self) -> Self:
        self._waiter = self._store.register(self._missing)
        return self

    def __exit__(self, *error: object) -> None:
        self._store.unregister(self._waiter)

    def add(self) -> Flow[None]:
        """Adds the tasks."""
        yield from self._store.add(self._queue, list(self._tasks.items()))
        self._added_at = time.monotonic()

    def read(self) -> Flow[None]:
        """For tasks that may have ended before anybody listened."""
        yield from self._read(list(self._missing))

    def collect(self, until: float | None) -> Flow[dict[bytes, bytes]]:
        """Outcome by id; `TaskTimeout` when one is missing at `until` (`time.monotonic()`)."""
        self._next_look = time.monotonic() + self._pause
        while self._missing:
            now = time.monotonic()
            if until is not None and until <= now:
                raise TaskTimeout(self._timeout_text())
            rest = self._next_look if until is None else min(self._next_look, until)
            hinted = yield Listen(self._waiter, max(0.0, rest - now))
            if hinted is None:
                yield from self.read()
            elif hinted:
                yield from self._read([i for i in hinted if i in self._missing])
                self._next_look = time.monotonic() + self._pause  # the hints do come
            else:
                yield from self._look()
        return self._found

    def _read(self, asked: Sequence[bytes]) -> Flow[None]:
        stored = yield from self._store.outcomes(self._queue, asked)
        for task_id, outcome in zip(asked, stored, strict=True):
            if outcome is not None:
                self._settle(task_id, outcome)

    def _look(self) -> Flow[None]:
        """Finds what was not hinted at, and whom nobody will ever answer."""
        asked = list(islice(self._missing, LOOK_TASKS))
        seen = yield from self._store.look(self._queue, asked)
        for task_id, (outcome, unfinished) in zip(asked, seen, strict=True):
            there = unfinished or (outcome is None and (yield from self._added_again(task_id)))
            if not there:
                self._settle(task_id, self._lost(task_id) if outcome is None else outcome)
            else:
                self._missing[task_id] = self._missing.pop(task_id)  # the others come next time
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._next_look = time.monotonic() + self._pause

    def _added_again(self, task_id: bytes) -> Flow[bool]:
        """
        True for a task that the caller still has, if the store was away since it was added: it
        lost its data. Otherwise the task ended, and its result is gone.
        """
        if task_id not in self._tasks:
            return False
        if self._store.steady_for() > time.monotonic() - self._added_at:
            return False
        yield from self.add()
        return True

    def _settle(self, task_id: bytes, outcome: bytes) -> None:
        self._found[task_id] = outcome
        self._missing.pop(task_id, None)

    def _lost(self, task_id: bytes) -> bytes:
        error = TaskLost(
            f"queue {self._queue} knows neither the task nor a result: it was never added here, "
            "its result was read before, has expired or is not stored by its worker, or the store "
            "lost its data"
        )
        return self._wire.failure(self._queue, task_id, error, 0)

    def _timeout_text(self) -> str:
        first = ids.to_uuid(next(iter(self._missing)))
        more = f" and {len(self._missing) - 1} more" if len(self._missing) > 1 else ""
        return f"no result yet of task {first}{more} in queue {self._queue}: is a worker running?"
