"""The verbs of `Store` in memory: each one step under the lock of the server."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar, Unpack

from task_helpers import outcomes, progress
from task_helpers.couriers._door import Door, Pace
from task_helpers.couriers._lookout import Lookout
from task_helpers.couriers._memory.queue import RANK_OF_NONE, MemoryQueue
from task_helpers.couriers._memory.server import MemoryServer, Place, Step
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.parcels import (
    IN_LINE,
    Again,
    Buried,
    Ends,
    Line,
    Looked,
    Placement,
    Reclaimed,
    Taken,
    TakeOptions,
    Way,
)
from task_helpers.couriers.stats import QueueStats
from task_helpers.couriers.store import WORKER_FORGOTTEN_MS
from task_helpers.effects import Flow
from task_helpers.exceptions import CourierError
from task_helpers.ids import made_at_ms
from task_helpers.outcomes import NOT_STORED
from task_helpers.tasks import TaskStatus

T = TypeVar("T")


class MemoryStore:
    """See `Store` for what each verb promises."""

    channel = b"memory.."
    takes_along = False

    def __init__(
        self, server: MemoryServer, options: CourierOptions, lookout: Lookout | None = None
    ) -> None:
        self._server = server
        self._options = options
        self._lookout = server.lookout if lookout is None else lookout
        self._door = Door(options)

    def bounded(self, until: float) -> MemoryStore:
        return self

    def now(self) -> Flow[int]:
        return _step(self._server.now)

    # --- The client's side

    def add(
        self,
        queue: str,
        tasks: Sequence[tuple[bytes, bytes]],
        place: Placement = IN_LINE,
        unless: Callable[[CourierError], None] | None = None,
        again: bool = False,
    ) -> Flow[None]:
        at = self._server.place(queue)
        return _step(lambda: self._add(at, self._new(at, tasks) if again else tasks, place))

    def _new(self, at: Place, tasks: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Those that have not ended."""
        now = self._server.now()
        return [task for task in tasks if at.queue.outcome(task[0], now) is None]

    def share(
        self, queue: str, task: tuple[bytes, bytes], key: bytes, place: Placement = IN_LINE
    ) -> Flow[bytes]:
        at = self._server.place(queue)

        def act() -> bytes:
            if (shared := at.queue.by_key.get(key)) is not None:
                return shared
            self._add(at, [task], place)
            at.queue.set_key(task[0], key)
            return task[0]

        return _step(act)

    def _add(self, at: Place, tasks: Sequence[tuple[bytes, bytes]], place: Placement) -> None:
        queue, pace = at.queue, _pace(at.queue)
        fresh = [task for task in tasks if task[0] not in queue.tasks]
        limit = self._door.limit(pace, place.later)
        if fresh and limit is not None and pace.length + len(fresh) > limit:
            raise self._door.refusal(len(fresh), pace, place.later)
        due = self._server.now() + place.delay if place.delay else place.due
        queue.add(fresh, RANK_OF_NONE - place.priority, due, place.weight)
        at.wake_workers()

    def outcomes(self, queue: str, ids: Sequence[bytes]) -> Flow[list[bytes | None]]:
        looked = yield from self.look(queue, ids)
        return [looked.ended.get(task_id) for task_id in ids]

    def look(self, queue: str, ids: Sequence[bytes]) -> Flow[Looked]:
        state = self._server.place(queue).queue

        def act() -> Looked:
            now = self._server.now()
            known = {task_id: state.outcome(task_id, now) for task_id in ids}
            ended = {task_id: outcome for task_id, outcome in known.items() if outcome is not None}
            return Looked(ended, [i for i in known if i not in ended and i not in state.tasks])

        return _step(act)

    def forget(self, queue: str, ids: Sequence[bytes], *, soon: bool = False) -> Flow[None]:
        state = self._server.place(queue).queue
        return _step(lambda: state.forget(ids))

    def cancel(self, queue: str, task_id: bytes, outcome: bytes) -> Flow[bool]:
        state = self._server.place(queue).queue

        def act() -> bool:
            if not state.cancel(task_id, now := self._server.now()):
                return state.outcome(task_id, now) == outcome
            self._store_outcome(state, task_id, outcome)
            self._server.tell({task_id: outcome})
            return True

        return _step(act)

    def status(self, queue: str, task_id: bytes) -> Flow[TaskStatus]:
        state = self._server.place(queue).queue

        def act() -> TaskStatus:
            if outcome := state.outcome(task_id, self._server.now()):
                return outcomes.status_of(outcome)
            if task_id not in state.tasks:
                return TaskStatus.UNKNOWN
            if task_id in state.delayed:
                return TaskStatus.DELAYED
            if state.is_running(task_id):
                return progress.status_of(state.note_of(task_id))
            return TaskStatus.WAITING

        return _step(act)

    def stats(self, queue: str) -> Flow[QueueStats]:
        state = self._server.place(queue).queue

        def act() -> QueueStats:
            running = sum(map(state.is_running, state.tasks))
            delayed = len(state.delayed)
            heads = map(made_at_ms, state.in_line())
            return QueueStats(
                waiting=len(state.tasks) - delayed - running,
                delayed=delayed,
                running=running,
                dead=len(state.dead),
                oldest_made_at=min(heads, default=None),
                workers=sorted(state.workers),
                drain_rate=state.tally.drain.rate,
                **state.tally.last_hour(self._server.now()),
            )

        return _step(act)

    @property
    def lookout(self) -> Lookout:
        return self._lookout

    # --- The worker's side

    def take(
        self,
        queue: str,
        token: bytes,
        max_count: int,
        lease: int,
        wait: float = 0,
        **how: Unpack[TakeOptions],
    ) -> Flow[Taken]:
        place = self._server.place(queue)
        state = place.queue
        beside, max_weight = how.get("beside", False), how.get("max_weight")

        def act() -> Taken:
            now = self._server.now()
            batch = state.take(token, max_count, lease, now, beside, max_weight)
            place.wake = state.has_waiting()
            next_due = min((due for due, _ in state.delayed.values()), default=None)
            tasks = {i: state.tasks[i] for i in batch.ids if i in state.tasks}
            return Taken(tasks, now, next_due, state.overdue(now), batch.suspects)

        return _step(act, place, wait)

    def line(self, queue: str, wait: float = 0) -> Flow[Line]:
        place = self._server.place(queue)

        def act() -> Line:
            state = place.queue
            count, made_at = len(list(state.in_line())), map(made_at_ms, state.in_line())
            oldest = 0 if state.has_suspects() else min(made_at, default=0)
            return Line(count, oldest, self._server.now())

        return _step(act, place, wait)

    def renew(
        self, queue: str, worker: str, tokens: Sequence[bytes], lease: int
    ) -> Flow[set[bytes]]:
        state = self._server.place(queue).queue

        def act() -> set[bytes]:
            now = self._server.now()
            state.report(worker, now, WORKER_FORGOTTEN_MS)
            held = [token for token in tokens if token in state.batches]
            for token in held:
                state.batches[token].deadline = now + lease
            return set(tokens).difference(held)

        return _step(act)

    def farewell(self, queue: str, worker: str) -> Flow[None]:
        state = self._server.place(queue).queue
        return _step(lambda: state.forget_worker(worker))

    def finish(
        self, queue: str, token: bytes, ends: Sequence[Ends], *, last: bool
    ) -> Flow[set[bytes]]:
        state = self._server.place(queue).queue

        def act() -> set[bytes]:
            refused = set[bytes]()
            for each in ends:
                for task_id, outcome in zip(each.ids, each.outcomes, strict=True):
                    if not self._finish(state, token, each.way, task_id, outcome):
                        refused.add(task_id)
                self._server.tell(dict.fromkeys(each.ids, NOT_STORED))
            if last:
                state.batches.pop(token, None)
            return refused

        return _step(act)

    def retry(self, queue: str, token: bytes, tasks: Sequence[Again]) -> Flow[set[bytes]]:
        state = self._server.place(queue).queue

        def act() -> set[bytes]:
            now = self._server.now()
            return {task.task_id for task in tasks if not state.retry(token, task, now)}

        return _step(act)

    def progress(
        self, queue: str, token: bytes, notes: Sequence[tuple[bytes, bytes]]
    ) -> Flow[None]:
        state = self._server.place(queue).queue
        return _step(lambda: state.progress(token, notes))

    def release(self, queue: str, token: bytes) -> Flow[None]:
        place = self._server.place(queue)

        def act() -> None:
            place.queue.release(token)
            place.wake_workers()

        return _step(act)

    def reclaim(
        self, queue: str, token: bytes, lease: int, *, dead: bool = False
    ) -> Flow[Reclaimed]:
        place = self._server.place(queue)

        def act() -> Reclaimed:
            back, convict = place.queue.reclaim(token, lease, self._server.now(), dead)
            place.wake_workers()
            return Reclaimed(back, (convict, place.queue.tasks[convict]) if convict else None)

        return _step(act)

    def leases(self, queue: str) -> Flow[list[bytes]]:
        state = self._server.place(queue).queue
        return _step(lambda: list(state.batches))

    def steady_for(self) -> float:
        return math.inf

    def is_gone(self) -> bool:
        return False

    def concerns(self) -> Flow[list[str]]:
        return _step(list)

    # --- Upkeep

    def dead_letters(self, queue: str, count: int) -> Flow[list[Buried]]:
        state = self._server.place(queue).queue
        return _step(lambda: list(reversed(state.dead.values()))[:count])

    def requeue_dead(self, queue: str, tasks: Sequence[tuple[bytes, bytes]]) -> Flow[int]:
        place = self._server.place(queue)

        def act() -> int:
            place.wake_workers()
            return sum(place.queue.requeue_dead(*task) for task in tasks)

        return _step(act)

    def delete_dead(self, queue: str, ids: Sequence[bytes]) -> Flow[int]:
        state = self._server.place(queue).queue
        return _step(lambda: sum(map(state.delete_dead, ids)))

    def repair(self, queue: str) -> Flow[int]:
        """Nobody but these verbs changes a queue in memory: nothing gets lost."""
        return _step(lambda: 0)

    # --- Both sides

    def _finish(
        self, state: MemoryQueue, token: bytes, way: Way, task_id: bytes, outcome: bytes
    ) -> bool:
        """True as well for an end that is stored already: a repeat is not refused."""
        now, most_dead = self._server.now(), self._options.max_dead_letters
        if not state.finish(token, way, task_id, outcome, most_dead, now):
            return (state.outcome(task_id, now) or b"") == outcome
        if outcome:
            self._store_outcome(state, task_id, outcome)
        return True

    def _store_outcome(self, state: MemoryQueue, task_id: bytes, outcome: bytes) -> None:
        state.store_outcome(task_id, outcome, self._server.now(), self._options.result_ttl_ms)


def _pace(queue: MemoryQueue) -> Pace:
    return Pace(queue.tally.drain.rate, len(queue.tasks), len(queue.delayed))


def _step(act: Callable[[], T], wake_on: Place | None = None, wait: float = 0) -> Flow[T]:
    reply: T = yield Step(act, wake_on, wait)
    return reply
