"""Waiting for results, as a flow: hints bring most of them, sweeps find the others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Self

from task_helpers import ids
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.parcels import IN_LINE, Placement
from task_helpers.couriers.store import Store
from task_helpers.effects import Flow, Listen, News
from task_helpers.exceptions import CourierError, CourierUnavailable, TaskLost, TaskTimeout
from task_helpers.outcomes import NOT_STORED

LOOK_TASKS = 1_000
"""So many are looked for at once."""

QUIET_SECONDS = 0.02
"""When nothing was heard for so long, those that are not looked for yet may have ended before."""


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
        self._refused: CourierError | None = None
        self._unlooked: list[bytes] = []  # may have ended before anybody listened

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

    def _was_not_added(self, error: CourierError) -> None:
        """A store that is away may have them all the same; one that refuses them has not."""
        self._is_added = False
        if not isinstance(error, CourierUnavailable):
            self._refused = error
        self._store.lookout.tell(dict.fromkeys(self._tasks, NOT_STORED))

    def look(self) -> Flow[None]:
        """For tasks that may have ended before anybody listened."""
        self._unlooked = list(self._missing)
        yield from self._look_on()

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
        if self._unlooked and until is not None and until <= time.monotonic():
            yield from self._look_on(to_the_end=True)
            if self._found:
                return
        left = self._left(until)
        if self._unlooked:
            left = QUIET_SECONDS if left is None else min(left, QUIET_SECONDS)
        news = yield Listen(self._waiter, left)
        if news is None:
            self._unlooked = []  # a sweep looks for all
            yield from self._sweep()
        elif news:
            yield from self._take_in(news)
        else:
            yield from self._look_on()

    def _look_on(self, to_the_end: bool = False) -> Flow[None]:
        """
        Looks until it comes to a task that is unfinished. Workers take the oldest first, so those
        behind it are likely to come as hints; when these are silent, the look goes on.
        """
        while self._unlooked:
            some, self._unlooked = self._unlooked[:LOOK_TASKS], self._unlooked[LOOK_TASKS:]
            if missing := [task_id for task_id in some if task_id in self._missing]:
                yield from self._make_sure(missing)
                if not (to_the_end or self._missing.keys().isdisjoint(missing)):
                    break

    def _left(self, until: float | None) -> float | None:
        if until is None:
            return None
        if (left := until - time.monotonic()) <= 0 and not self._waiter.pending():
            raise TaskTimeout(self._timeout_text(), queue_name=self._queue)
        return left

    def _take_in(self, news: News) -> Flow[None]:
        if self._refused:
            yield from self._withdraw()
            raise self._refused
        wanted = {i: outcome for i, outcome in news.items() if i in self._missing}
        if all(wanted.values()):
            self._settle(wanted)
            return
        self._settle({i: outcome for i, outcome in wanted.items() if outcome})
        yield from self._make_sure([i for i, outcome in wanted.items() if not outcome])

    def _withdraw(self) -> Flow[None]:
        """What was refused may have been added in part, where a key in the store is damaged."""
        with suppress(CourierError):
            for task_id in self._tasks:
                yield from self._store.cancel(self._queue, task_id, self._lost(task_id))

    def _make_sure(self, task_ids: Sequence[bytes]) -> Flow[None]:
        """Reads what has ended, and finds out what nobody will ever answer."""
        looked = yield from self._store.look(self._queue, task_ids)
        self._settle(looked.ended)
        for task_id in looked.gone:
            if not (yield from self._added_again(task_id)):
                self._settle({task_id: self._lost(task_id)})

    def _settle(self, ended: Mapping[bytes, bytes]) -> None:
        self._found.update(ended)
        for task_id in ended:
            self._missing.pop(task_id, None)

    def _sweep(self) -> Flow[None]:
        """For all who wait in this process, who also learn it when the store is gone for good."""
        lookout, store = self._store.lookout, self._store
        try:
            for queue, missing in lookout.awaited().items():
                looked = yield from store.look(queue, missing)
                lookout.tell(looked.ended)
                # whoever waits for a lost one makes sure by itself
                lookout.tell(dict.fromkeys(looked.gone, NOT_STORED))
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
        tasks = list(self._tasks.items())
        yield from self._store.add(self._queue, tasks, self._place, again=True)
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
