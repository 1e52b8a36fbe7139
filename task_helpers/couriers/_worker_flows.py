"""The worker side of a courier: taking batches and returning results, without I/O."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from task_helpers import ids, outcomes
from task_helpers.couriers._claims import Claim, Claims, Held
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.couriers.store import Again, End, Store, Taken, Way
from task_helpers.durations import Duration, seconds
from task_helpers.effects import Flow, Sleep
from task_helpers.envelopes import NO_DEADLINE, Header, open_envelope, with_attempts
from task_helpers.exceptions import (
    CourierError,
    DeserializationError,
    TaskDoesNotExist,
    TaskExpired,
    TaskHelpersError,
    WorkerLost,
)
from task_helpers.retries import RetryPolicy
from task_helpers.tasks import Task

logger = logging.getLogger("task_helpers.couriers")

MAX_BATCH = 1_000
"""Most tasks of one take: a longer batch would hold up everybody else's commands."""

LONGEST_BLOCK = 1.0
"""Seconds of one blocking take; in between, overdue batches of lost workers are noticed."""

SHORTEST_BLOCK = 0.001

OUTAGE_GRACE = 10.0
"""Seconds after an outage in which workers come back and renew, and nobody's batch is reclaimed."""

FOREIGN = b""
"""The token of results for tasks that this courier does not hold."""

UNHELD = Held(Header(codec=0), b"")


class WorkerFlows:
    """
    Every operation of a worker courier, once for blocking and awaitable ones.

    - worker_id - eight bytes with which the tokens of its batches begin, so that whoever sees the
      worker die can tell which batches it held.
    """

    def __init__(self, store: Store, options: CourierOptions) -> None:
        self.worker_id = os.urandom(8)
        self._store = store
        self._options = options
        self._claims = Claims()
        self._wire = Wire(options)

    # --- Taking

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
        _require_count(max_count)
        while left := max_count - len(tasks):
            batch, due_in = yield from self._batch(queue, left, 0)
            tasks += batch
            if len(batch) < min(left, MAX_BATCH) and (tasks or due_in):
                break
        return tasks

    def wait(
        self, queue_name: str, max_count: int, timeout: Duration | None, linger: Duration
    ) -> Flow[list[Task]]:
        queue, linger = valid_queue_name(queue_name), seconds(linger, "linger")
        _require_count(max_count)
        until = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        block = 0.0
        while True:
            if linger:
                yield from self._gather(queue, max_count, linger, block)
            tasks, due_in = yield from self._batch(queue, max_count, 0 if linger else block)
            if tasks:
                return tasks
            left = LONGEST_BLOCK if until is None else until - time.monotonic()
            if left <= 0 and due_in:
                raise TimeoutError(f"no task came to queue {queue_name} in time")
            block = max(SHORTEST_BLOCK, min(left, due_in, LONGEST_BLOCK))

    def _gather(self, queue: str, max_count: int, linger: float, block: float) -> Flow[None]:
        """Lets a batch fill before it is taken, so that nothing is held meanwhile."""
        count = yield from self._store.waiting(queue, block)
        if 0 < count < max_count:
            yield Sleep(linger)

    def _batch(self, queue: str, max_count: int, block: float) -> Flow[tuple[list[Task], float]]:
        """One batch, and in how many seconds there may be more: 0, look again at once."""
        lease = self._options.lease_ms
        token = self.worker_id + os.urandom(8)
        claim = Claim(queue, token, time.monotonic() + block + lease / 1000)
        count = min(max_count, MAX_BATCH)
        taken = yield from self._store.take(queue, token, count, lease, block)
        self._claims.drop_overdue(time.monotonic())
        overdue = taken.overdue if self._may_reclaim() else []
        try:
            tasks = yield from self._opened(claim, taken)
            yield from self._reclaim_overdue(queue, overdue)
        except CourierError:
            self._claims.drop(claim)  # whoever called never sees the batch: its lease must run out
            raise
        if overdue or (taken.tasks and not tasks):
            return tasks, 0
        return tasks, LONGEST_BLOCK if taken.next_due is None else (
            taken.next_due - taken.now
        ) / 1000

    def _reclaim_overdue(self, queue: str, overdue: Iterable[bytes]) -> Flow[None]:
        for lost in overdue:
            logger.warning("The lease of a batch in queue %s ran out: its tasks run again.", queue)
            yield from self._reclaim(queue, lost, dead=False)

    def _may_reclaim(self) -> bool:
        return self._store.steady_for() >= min(self._options.lease_ms / 1000, OUTAGE_GRACE)

    def _opened(self, claim: Claim, taken: Taken) -> Flow[list[Task]]:
        """The tasks to perform; those that cannot or need not be are ended here."""
        tasks, ends = list[Task](), list[End]()
        for task_id, envelope in taken.tasks:
            claim.tasks[task_id] = held = _held(envelope)
            if len(task_id) != ids.ID_BYTES:
                logger.error("Queue %s held a task with the id %r: dropped.", claim.queue, task_id)
                ends.append(_silent_end(task_id, UNHELD))
                continue
            try:
                tasks.append(
                    (ids.to_uuid(task_id), self._task_data(claim.queue, task_id, held, taken.now))
                )
            except TaskHelpersError as error:
                ends.append(self._refusal(claim.queue, task_id, held, error))
        if claim.tasks:
            self._claims.add(claim)
        if ends:
            yield from self._finish(claim.queue, claim, ends)
        return tasks

    def _task_data(self, queue: str, task_id: bytes, held: Held, now: int) -> Any:
        if held.header.expired(now):
            raise TaskExpired("the task was not taken before its deadline")
        return self._wire.task_data(queue, task_id, held.envelope)

    def _refusal(self, queue: str, task_id: bytes, held: Held, error: Exception) -> End:
        """The end of a task that no worker performs; all but the expired become dead letters."""
        header = held.header
        way = Way.FAILED if isinstance(error, TaskExpired) else Way.DEAD
        outcome = self._wire.failure(queue, task_id, error, header.attempt)
        return End(way, task_id, outcome, header.channel)

    def bury(self, queue_name: str, worker_id: bytes) -> Flow[int]:
        """The worker is dead: nobody need wait for its leases to run out. How many there were."""
        queue = valid_queue_name(queue_name)
        leases = yield from self._store.leases(queue)
        held = [token for token in leases if token.startswith(worker_id)]
        for token in held:
            yield from self._reclaim(queue, token, dead=True)
        return len(held)

    def _reclaim(self, queue: str, token: bytes, dead: bool) -> Flow[None]:
        """A task that killed its workers is ended, for whoever waits for it."""
        lease = self._options.lease_ms
        convicted = yield from self._store.reclaim(queue, token, lease, dead=dead)
        if convicted is None:
            return
        task_id, envelope = convicted
        error = WorkerLost("each worker that took this task alone died")
        end = self._refusal(queue, task_id, _held(envelope), error)
        yield from self._store.finish(queue, token, [end], last=True)

    # --- Returning

    def give(
        self,
        queue_name: str,
        results: Iterable[tuple[UUID, Any]],
        policy: RetryPolicy | None = None,
    ) -> Flow[None]:
        """Stores results and acknowledges their tasks; an exception as result fails its task."""
        queue = valid_queue_name(queue_name)
        retries = policy is not None and policy.max_attempts > 1
        by_id: dict[bytes, Any] = {}
        for task_id, result in results:
            by_id.setdefault(ids.to_bytes(task_id), result)
        for claim, group in self._claims.group(queue, by_id).items():
            if claim and policy:
                group = yield from self._retry(claim, group, by_id, policy)
            held = claim.tasks if claim else {}
            ends = [self._end(queue, i, by_id[i], held.get(i, UNHELD), retries) for i in group]
            if ends:
                yield from self._finish(queue, claim, ends)

    def acknowledge(self, queue_name: str, task_ids: Iterable[UUID]) -> Flow[None]:
        """Ends tasks whose results nobody wants."""
        queue = valid_queue_name(queue_name)
        for claim, group in self._claims.group(queue, map(ids.to_bytes, task_ids)).items():
            held = claim.tasks if claim else {}
            ends = [_silent_end(i, held.get(i, UNHELD)) for i in group]
            yield from self._finish(queue, claim, ends)

    def _retry(
        self, claim: Claim, group: list[bytes], results: dict[bytes, Any], policy: RetryPolicy
    ) -> Flow[list[bytes]]:
        """
        Puts those off that are performed again, and returns the others: also those of a batch that
        the lease thread finds lost meanwhile, whose errors the store refuses.
        """
        failed = [i for i in group if isinstance(results[i], Exception)]
        now = (yield from self._store.now()) if failed else 0
        held = {task_id: claim.tasks.get(task_id, UNHELD) for task_id in failed}
        again = {i: a for i in failed if (a := _again(i, held[i], results[i], policy, now))}
        if again:
            refused = yield from self._store.retry(claim.queue, claim.token, list(again.values()))
            _report_refused(claim.queue, refused)
            if self._claims.settle(claim, again):
                yield from self._store.finish(claim.queue, claim.token, [], last=True)
        return [task_id for task_id in group if task_id not in again]

    def _end(self, queue: str, task_id: bytes, result: Any, held: Held, may_retry: bool) -> End:
        """A failure that no retry is left for is kept as a dead letter."""
        header = held.header
        if not isinstance(result, Exception):
            try:
                outcome = self._wire.success(queue, task_id, result)
                return End(Way.DONE, task_id, outcome, header.channel)
            except TaskHelpersError as error:
                logger.error("The result of task %s is not sent: %s", ids.to_uuid(task_id), error)
                result = error
        way = Way.DEAD if may_retry else Way.FAILED
        outcome = self._wire.failure(queue, task_id, result, header.attempt + 1)
        return End(way, task_id, outcome, header.channel)

    def _finish(self, queue: str, claim: Claim | None, ends: list[End]) -> Flow[None]:
        """Another thread may be returning the rest of the batch: the later one closes it."""
        token = claim.token if claim else FOREIGN
        whole = claim is not None and len(ends) == len(claim.tasks)
        refused = yield from self._store.finish(queue, token, ends, last=whole)
        _report_refused(queue, refused)
        if claim and self._claims.settle(claim, [end.task_id for end in ends]) and not whole:
            yield from self._store.finish(queue, token, [], last=True)

    # --- Holding

    def renew(self, queue_name: str, worker: str) -> Flow[None]:
        """Extends all leases on the queue; a batch that is lost is dropped."""
        queue, claims = valid_queue_name(queue_name), self._claims.held(queue_name)
        until = time.monotonic() + self._options.lease_ms / 1000
        tokens = [claim.token for claim in claims]
        lost = yield from self._store.renew(queue, worker, tokens, self._options.lease_ms)
        for claim in claims:
            if claim.token not in lost:
                claim.until = until
            elif self._claims.drop(claim):
                logger.warning("A batch in queue %s was given to another worker.", queue)

    def release(self, queue_name: str, task_ids: Iterable[UUID] | None) -> Flow[None]:
        queue = valid_queue_name(queue_name)
        if task_ids is None:
            claims: Iterable[Claim | None] = self._claims.held(queue)
        else:
            claims = self._claims.group(queue, map(ids.to_bytes, task_ids))
        for claim in filter(None, claims):
            self._claims.drop(claim)  # first: if the store is not told, the lease must run out
            yield from self._store.release(queue, claim.token)

    def concerns(self) -> Flow[list[str]]:
        return self._store.concerns()

    def farewell(self, queue_name: str, worker: str) -> Flow[None]:
        return self._store.farewell(valid_queue_name(queue_name), worker)


def _require_count(max_count: int) -> None:
    if not isinstance(max_count, int) or max_count < 1:
        raise ValueError(f"max_count must be a whole number above 0, not {max_count!r}")


def _held(envelope: bytes) -> Held:
    """What is no envelope still needs an end: its header is empty."""
    try:
        return Held(open_envelope(envelope)[0], envelope)
    except DeserializationError:
        return Held(UNHELD.header, envelope)


def _again(
    task_id: bytes, held: Held, error: Exception, policy: RetryPolicy, now: int
) -> Again | None:
    """
    None when the policy gives up, when the next attempt would come after the deadline, and when
    the task is not held any more.
    """
    header, attempts = held.header, held.header.attempt + 1
    delay = policy.delay_after(error, attempts)
    if delay is None or held is UNHELD:
        return None
    wait = round(delay * 1000)
    if header.deadline != NO_DEADLINE and header.deadline <= now + wait:
        return None
    return Again(task_id, with_attempts(held.envelope, attempts), wait, header.priority)


def _silent_end(task_id: bytes, held: Held) -> End:
    return End(Way.DONE, task_id, outcomes.NOT_STORED, held.header.channel)


def _report_refused(queue: str, refused: set[bytes]) -> None:
    if refused:
        logger.warning("%d results in queue %s came too late: not stored.", len(refused), queue)
