"""Waiting for results, as a flow: hints bring most of them, sweeps find the others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from task_helpers import ids
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.parcels import IN_LINE, Look, Placement
from task_helpers.couriers.store import Store
from task_helpers.effects import Flow, Listen, News
from task_helpers.exceptions import CourierUnavailable, TaskLost, TaskTimeout
from task_helpers.outcomes import NOT_STORED


class Awaited:
    """
    The results that one caller waits for. Hints count from `with` on, so enter it before the
    tasks are added, and none is missed.

    - tasks - (id, envelope) of those that the caller still holds: a store that was away and came
      back without them is given them again.
    - place - where they are added.
    """

    def __init__(
        self,
        store: Store,
        wire: Wire,
        queue: str,
        task_ids: Iterable[bytes],
        tasks: Sequence[tuple[bytes, bytes]] = (),
        place: Placement = IN_LINE,
    ) -> None:
        self._store = store
        self._wire = wire
        self._queue = queue
        self._missing = dict.fromkeys(task_ids)
        self._tasks = dict(tasks)
        self._place = place
        self._found: dict[bytes, bytes] = {}

    def __enter__(self) -> Self:
        self._waiter = self._store.lookout.register(self._queue, self._missing)
        return self

    def __exit__(self, *error: object) -> None:
        self._store.lookout.unregister(self._waiter)

    def add(self) -> Flow[None]:
        """Adds the tasks, or has them added while the caller waits: a failure is news too."""
        tasks, self._is_added = list(self._tasks.items()), True
        yield from self._store.add(self._queue, tasks, self._place, self._was_not_added)
        self._added_at = time.monotonic()

    def _was_not_added(self) -> None:
        self._is_added = False
        self._store.lookout.tell((task_id, NOT_STORED) for task_id in self._tasks)

    def look(self) -> Flow[None]:
        """For tasks that may have ended before anybody listened."""
        yield from self._make_sure(list(self._missing))

    def collect(self, until: float | None) -> Flow[dict[bytes, bytes]]:
        """Outcome by id; `TaskTimeout` when one is missing at `until` (`time.monotonic()`)."""
        while self._missing:
            yield from self._listen(until)
        return self._found

    def collect_some(self, until: float | None) -> Flow[dict[bytes, bytes]]:
        """As `collect`, but what has come since the last time; {} when nothing is missing."""
        while self._missing and not self._found:
            yield from self._listen(until)
        found, self._found = self._found, {}
        return found

    def _listen(self, until: float | None) -> Flow[None]:
        news = yield Listen(self._waiter, self._left(until))
        yield from self._sweep() if news is None else self._take_in(news)

    def _left(self, until: float | None) -> float | None:
        if until is None:
            return None
        if (left := until - time.monotonic()) <= 0 and not self._waiter.pending():
            raise TaskTimeout(self._timeout_text())
        return left

    def _take_in(self, news: News) -> Flow[None]:
        doubtful = list[bytes]()
        for task_id, outcome in news.items():
            if task_id not in self._missing:
                continue
            if outcome:
                self._settle(task_id, outcome)
            else:
                doubtful.append(task_id)
        if doubtful:
            yield from self._make_sure(doubtful)

    def _make_sure(self, task_ids: Sequence[bytes]) -> Flow[None]:
        """Reads what has ended, and finds out what nobody will ever answer."""
        looks = yield from self._store.look(self._queue, task_ids)
        for task_id, (outcome, unfinished) in zip(task_ids, looks, strict=True):
            if outcome is not None:
                self._settle(task_id, outcome)
            elif not (unfinished or (yield from self._added_again(task_id))):
                self._settle(task_id, self._lost(task_id))

    def _settle(self, task_id: bytes, outcome: bytes) -> None:
        self._found[task_id] = outcome
        self._missing.pop(task_id, None)

    def _sweep(self) -> Flow[None]:
        """For all who wait in this process, who also learn it when the store is gone for good."""
        lookout, store = self._store.lookout, self._store
        try:
            for queue, missing in lookout.awaited().items():
                looks = yield from store.look(queue, missing)
                lookout.tell(_ended(missing, looks))
        except CourierUnavailable as error:
            if store.is_gone():
                lookout.tell_all(error)
            raise
        finally:
            lookout.ends_sweep()

    def _added_again(self, task_id: bytes) -> Flow[bool]:
        """
        True for a task that the caller still has, if it was not added after all, or if the store
        was away since: it lost its data. Otherwise the task ended, and its result is gone. Raises
        what adding raises.
        """
        if task_id not in self._tasks:
            return False
        if self._is_added and self._store.steady_for() > time.monotonic() - self._added_at:
            return False
        yield from self._store.add(self._queue, list(self._tasks.items()), self._place)
        self._added_at, self._is_added = time.monotonic(), True
        return True

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


def _ended(task_ids: Sequence[bytes], looks: Sequence[Look]) -> Iterator[tuple[bytes, bytes]]:
    """Those that are not unfinished, as news: whoever waits for a lost one makes sure by itself."""
    for task_id, (outcome, unfinished) in zip(task_ids, looks, strict=True):
        if not unfinished:
            yield task_id, outcome or NOT_STORED
