"""The worker's side of a courier, without I/O: taking batches, and those of the dead."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Unpack

from task_helpers import ids
from task_helpers.counts import whole_number
from task_helpers.couriers._claims import Claim
from task_helpers.couriers._lingering import Lingering
from task_helpers.couriers._worker_side import WorkerSide, by_way, silent_ends
from task_helpers.couriers.parcels import Ends, Taken, TakeOptions
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.couriers.store import MAX_BATCH, Store
from task_helpers.durations import Duration, seconds
from task_helpers.effects import Flow, Sleep
from task_helpers.envelopes import HEADER_BYTES, has_expired, header_of, heads_of, shared_channel
from task_helpers.exceptions import (
    CourierError,
    CourierUnavailable,
    DeserializationError,
    TaskDoesNotExist,
    TaskExpired,
    TaskHelpersError,
    WorkerLost,
)
from task_helpers.plurals import counted
from task_helpers.tasks import Task

logger = logging.getLogger("task_helpers.couriers")

NOT_TAKEN = "the task was not taken before its deadline"
AFTER_A_CRASH = "its deadline passed after a worker died with it: it may have been performed"

LONGEST_BLOCK = 1.0
"""Seconds of one blocking take; in between, overdue batches of lost workers are noticed."""

SHORTEST_BLOCK = 0.001

TAKE_SECONDS = 1.0
"""How much longer than its timeout a take may need before the store counts as away."""

OUTAGE_GRACE = 10.0
"""Seconds after an outage in which workers come back and renew, and nobody's batch is reclaimed."""


class TakingFlows(WorkerSide):
    """From the queue to the worker."""

    def get(self, queue_name: str) -> Flow[Task]:
        tasks = yield from self.take(queue_name, 1)
        if not tasks:
            raise TaskDoesNotExist(f"queue {queue_name} has no task to take now")
        return tasks[0]

    def take(self, queue_name: str, max_count: int) -> Flow[list[Task]]:
        """
        Up to max_count tasks, in several batches where one must not hold that many. A batch that
        is not full ends it: it may be a suspect's, which must not find company here.
        """
        queue, tasks = valid_queue_name(queue_name), list[Task]()
        whole_number(max_count, "max_count")
        while left := max_count - len(tasks):
            try:
                batch, due_in = yield from self._batch(self._store, queue, left)
            except CourierError:
                if tasks:
                    break
                raise
            except (Exception, GeneratorExit):
                raise
            except BaseException:
                yield from self._give_back(queue, self._tokens_of(queue, tasks))
                raise
            tasks += batch
            if len(batch) < min(left, MAX_BATCH) and (tasks or due_in):
                break
        return tasks

    def wait(
        self,
        queue_name: str,
        max_count: int,
        timeout: Duration | None,
        linger: Duration = 0,
        min_tasks: int | None = None,
        stopping: Callable[[], bool] | None = None,
        **how: Unpack[TakeOptions],
    ) -> Flow[list[Task]]:
        queue, linger = valid_queue_name(queue_name), seconds(linger, "linger")
        lingering = Lingering(_enough(max_count, min_tasks), linger)
        if (max_weight := how.get("max_weight")) is not None:
            whole_number(max_weight, "max_weight")
        until = math.inf if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        store = self._store.bounded(until + linger + TAKE_SECONDS)
        block = self._block(queue, until)
        while not (stopping and stopping()):
            if linger:
                lingers, block = (yield from _lingers(store, queue, lingering, block)), 0
                if lingers:
                    continue
            tasks, due_in = yield from self._batch(store, queue, max_count, block, **how)
            if tasks:
                return tasks
            left = until - time.monotonic()
            if left <= 0 and due_in:
                raise TimeoutError(f"no task came to queue {queue_name} in time")
            block = max(SHORTEST_BLOCK, min(left, due_in, LONGEST_BLOCK))
        raise TimeoutError(f"the wait for tasks of queue {queue_name} was stopped")

    def _batch(
        self,
        store: Store,
        queue: str,
        max_count: int,
        block: float = 0,
        **how: Unpack[TakeOptions],
    ) -> Flow[tuple[list[Task], float]]:
        """
        One batch, and in how many seconds there may be more: 0, look again at once. Who is
        interrupted, or cancelled, meanwhile gets no tasks: what was taken goes back.
        """
        token = self._unanswered.pop(queue, None) or self.worker_id + os.urandom(8)
        count = min(max_count, MAX_BATCH)
        try:
            return (yield from self._batch_named(token, store, queue, count, block, **how))
        except (Exception, GeneratorExit):
            raise
        except BaseException:
            yield from self._give_back(queue, [token])
            raise

    def _batch_named(
        self,
        token: bytes,
        store: Store,
        queue: str,
        count: int,
        block: float,
        **how: Unpack[TakeOptions],
    ) -> Flow[tuple[list[Task], float]]:
        claim, taken = yield from self._claimed(token, store, queue, count, block, **how)
        tasks, ends = self._opened(claim, taken)
        if ends:
            yield from self._end_unperformed(claim, ends)
        overdue = taken.overdue if taken.overdue and self._may_reclaim() else []
        for lost in overdue:
            yield from self._reclaim_overdue(queue, lost)
        due_in = LONGEST_BLOCK
        if overdue or (taken.tasks and not tasks):
            due_in = 0
        elif taken.next_due is not None:
            due_in = (taken.next_due - taken.now) / 1000
        self._look_at[queue] = time.monotonic() + due_in
        return tasks, due_in

    def _block(self, queue: str, until: float) -> float:
        """
        How long the first take of a wait may block: whatever comes before the next look is due
        sets the mark that unblocks it. A mark can be lost, so never for long.
        """
        now = time.monotonic()
        return max(0.0, min(self._look_at.get(queue, 0.0), until) - now)

    def _claimed(
        self,
        token: bytes,
        store: Store,
        queue: str,
        count: int,
        block: float,
        **how: Unpack[TakeOptions],
    ) -> Flow[tuple[Claim, Taken]]:
        """A take that got no answer may have been made: the next one asks for the same batch."""
        lease = self._options.lease_ms
        if along := self._owed_along(queue):
            how["along"], block = along, 0
        claim = Claim(queue, token, time.monotonic() + block + lease / 1000)
        try:
            taken = yield from store.take(queue, token, count, lease, block, **how)
        except BaseException as error:
            if along:
                along.told(error)  # the store may not have come to them
            if isinstance(error, CourierUnavailable):
                self._unanswered[queue] = token
            raise
        claim.suspects = taken.suspects
        self._claims.drop_overdue(time.monotonic())
        return claim, taken

    def _give_back(self, queue: str, tokens: Collection[bytes]) -> Flow[None]:
        """When the store cannot be told now, the next take asks for the same batch."""
        for claim in self._claims.held(queue):
            if claim.token in tokens:
                self._claims.drop(claim)
        for token in tokens:
            self._unanswered[queue] = token
            with suppress(CourierError):
                yield from self._impatient().release(queue, token)
                self._unanswered.pop(queue, None)

    def _tokens_of(self, queue: str, tasks: Iterable[Task]) -> list[bytes]:
        groups = self._claims.group(queue, ids.all_to_bytes(task_id for task_id, _ in tasks))
        return [claim.token for claim in groups if claim]

    def _reclaim_overdue(self, queue: str, lost: bytes) -> Flow[None]:
        """What becomes of somebody else's batch must not cost the one that was just taken."""
        try:
            back = yield from self._reclaim(self._store, queue, lost, dead=False)
        except CourierError as error:
            logger.warning("A batch in queue %s waits to be reclaimed: %s", queue, error)
        else:
            if back:
                logger.warning("The lease of %d tasks in queue %s ran out.", back, queue)

    def _may_reclaim(self) -> bool:
        return self._store.steady_for() >= min(self._options.lease_ms / 1000, OUTAGE_GRACE)

    def _opened(self, claim: Claim, taken: Taken) -> tuple[list[Task], list[Ends]]:
        """The tasks to perform, and the ends of those that cannot or need not be."""
        if not taken.tasks:
            return [], []
        claim.tasks, heads = taken.tasks.copy(), heads_of(taken.tasks.values())
        claim.channel = shared_channel(heads)
        self._claims.add(claim)
        try:
            tasks = self._open(claim.queue, claim.tasks, heads, taken.now)
            claim.task_ids = [task_id for task_id, _ in tasks]
            return tasks, []
        except TaskHelpersError:
            return self._open_some(claim, taken.now)

    def _open(
        self, queue: str, tasks: Mapping[bytes, bytes], heads: Collection[bytes], now: int
    ) -> list[Task]:
        """
        All at once. Raises a `TaskHelpersError` if one of them is unfit, or if they were written
        in different ways.

        - heads - `heads_of` them.
        """
        if not tasks:
            return []
        if set(map(len, tasks)) != {ids.ID_BYTES}:
            raise DeserializationError("it has no id")
        headers = list(map(header_of, heads))
        if any(header.expired(now) for header in headers):
            raise TaskExpired(NOT_TAKEN)
        (codec, signed), *others = {(header.codec, header.signed) for header in headers}
        if others:
            raise DeserializationError("its neighbours have another serializer")
        payloads = [task[HEADER_BYTES:] for task in tasks.values()]
        data = self._wire.tasks_data(queue, codec, signed, tasks, payloads)
        return list(zip(ids.all_to_uuid(tasks), data, strict=True))

    def _open_some(self, claim: Claim, now: int) -> tuple[list[Task], list[Ends]]:
        """Those that are fit, and the ends of the others: most of these have expired."""
        queue, tasks = claim.queue, claim.tasks
        late = {i: envelope for i, envelope in tasks.items() if has_expired(envelope, now)}
        error = TaskExpired(AFTER_A_CRASH if claim.suspects else NOT_TAKEN)
        ends = [self._unperformed(queue, *task, error) for task in late.items()]
        if late and claim.suspects:
            logger.warning("%s in queue %s expired: %s", counted(len(late), "task"), queue, error)
        rest = {i: envelope for i, envelope in tasks.items() if i not in late}
        try:
            return self._open(queue, rest, heads_of(rest.values()), now), ends
        except TaskHelpersError:
            opened, more = self._open_each(queue, rest, now)
            return opened, ends + more

    def _open_each(
        self, queue: str, tasks: Mapping[bytes, bytes], now: int
    ) -> tuple[list[Task], list[Ends]]:
        """As `_open_some`, one after the other."""
        opened, ends = list[Task](), list[Ends]()
        for task_id, envelope in tasks.items():
            try:
                opened += self._open(queue, {task_id: envelope}, heads_of([envelope]), now)
            except TaskHelpersError as error:
                ends.append(self._unperformed(queue, task_id, envelope, error))
        return opened, ends

    def _end_unperformed(self, claim: Claim, ends: list[Ends]) -> Flow[None]:
        """If the store is not told now, they come again when the lease of the batch runs out."""
        try:
            yield from self._finish(claim.queue, claim, by_way(ends))
        except CourierError as error:
            logger.warning("%d tasks in %s could not be ended: %s", len(ends), claim.queue, error)
            if len(ends) == len(claim.tasks):
                self._claims.drop(claim)

    def _unperformed(
        self, queue: str, task_id: bytes, envelope: bytes, error: TaskHelpersError
    ) -> Ends:
        """An expired task is nobody's mistake; any other one should be seen where it is refused."""
        if len(task_id) != ids.ID_BYTES:
            logger.error("Queue %s held a task with the id %r: dropped.", queue, task_id)
            [ends] = silent_ends([task_id], None)
            return ends
        if not isinstance(error, TaskExpired):
            logger.error("Task %s in queue %s is refused: %s", ids.to_uuid(task_id), queue, error)
        return self._refusal(queue, task_id, envelope, error)

    def bury(self, queue_name: str, worker_id: bytes) -> Flow[int]:
        """The worker is dead: nobody need wait for its leases to run out. How many there were."""
        queue, store = valid_queue_name(queue_name), self._impatient()
        leases = yield from store.leases(queue)
        held = [token for token in leases if token.startswith(worker_id)]
        for token in held:
            yield from self._reclaim(store, queue, token, dead=True)
        return len(held)

    def _reclaim(self, store: Store, queue: str, token: bytes, dead: bool) -> Flow[int]:
        """
        Returns how many tasks run again. One that killed its workers is ended, for whoever waits
        for it.
        """
        lease = self._options.lease_ms
        back, convicted = yield from store.reclaim(queue, token, lease, dead=dead)
        if convicted is None:
            return back
        task_id, envelope = convicted
        error = WorkerLost("each worker that took this task alone died")
        end = self._refusal(queue, task_id, envelope, error)
        yield from store.finish(queue, token, [end], last=True)
        return back


def _enough(max_count: int, min_tasks: int | None) -> int:
    """So many waiting tasks need no company."""
    most = min(whole_number(max_count, "max_count"), MAX_BATCH)
    return most if min_tasks is None else min(whole_number(min_tasks, "min_tasks"), most)


def _lingers(store: Store, queue: str, lingering: Lingering, block: float) -> Flow[bool]:
    """Pauses where a batch may still fill. Until it is taken, nothing is held."""
    line = yield from store.line(queue, block)
    if pause := lingering.pause(line, time.monotonic()):
        yield Sleep(pause)
    return pause > 0
