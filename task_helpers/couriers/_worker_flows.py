"""The worker side of a courier: taking batches and returning results, without I/O."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from task_helpers import ids, outcomes
from task_helpers.couriers._claims import Claim, Claims
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.couriers.store import End, Store, Taken, Way
from task_helpers.durations import Duration, seconds
from task_helpers.effects import Flow, Sleep
from task_helpers.envelopes import NO_CHANNEL, Header, open_envelope
from task_helpers.exceptions import (
    DeserializationError,
    ResultTooLarge,
    TaskDoesNotExist,
    TaskExpired,
    TaskHelpersError,
    WorkerLost,
)
from task_helpers.tasks import Task

logger = logging.getLogger("task_helpers.couriers")

MAX_BATCH = 1_000
"""Most tasks of one take: a longer batch would hold up everybody else's commands."""

LONGEST_BLOCK = 1.0
"""Seconds of one blocking take; in between, overdue batches of lost workers are noticed."""

SHORTEST_BLOCK = 0.001
FOREIGN = b""
"""The token of results for tasks that this courier does not hold."""


class WorkerFlows:
    """Every operation of a worker courier, once for blocking and awaitable ones."""

    def __init__(self, store: Store, options: CourierOptions, claims: Claims) -> None:
        self._store = store
        self._options = options
        self._claims = claims

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
        token = os.urandom(16)
        claim = Claim(queue, token, time.monotonic() + block + lease / 1000)
        count = min(max_count, MAX_BATCH)
        taken = yield from self._store.take(queue, token, count, lease, block)
        self._claims.drop_overdue(time.monotonic())
        tasks = yield from self._opened(claim, taken)
        for overdue in taken.overdue:
            yield from self._reclaim(queue, overdue)
        if taken.overdue or (taken.tasks and not tasks):
            return tasks, 0
        return tasks, LONGEST_BLOCK if taken.next_due is None else (
            taken.next_due - taken.now
        ) / 1000

    def _opened(self, claim: Claim, taken: Taken) -> Flow[list[Task]]:
        """The tasks to perform; those that cannot or need not be are ended here."""
        tasks, ends = [], []
        for task_id, envelope in taken.tasks:
            claim.headers[task_id] = header = Header(0)
            try:
                header, payload = open_envelope(envelope)
                claim.headers[task_id] = header
                if header.expired(taken.now):
                    raise TaskExpired("the task was not taken before its deadline")
                tasks.append(
                    (ids.to_uuid(task_id), self._options.decoder(header.codec).loads(payload))
                )
            except TaskHelpersError as error:
                ends.append(_refusal(task_id, header, error))
        if claim.headers:
            self._claims.add(claim)
        if ends:
            yield from self._finish(claim.queue, claim, ends)
        return tasks

    def _reclaim(self, queue: str, overdue: bytes) -> Flow[None]:
        """The worker of this batch is gone. A task that killed its workers is ended."""
        convicted = yield from self._store.reclaim(queue, overdue, self._options.lease_ms)
        logger.warning("The lease of a batch in queue %s ran out: its tasks run again.", queue)
        if convicted is None:
            return
        task_id, envelope = convicted
        error = WorkerLost("each worker that took this task alone died")
        end = _refusal(task_id, _header_of(envelope), error)
        yield from self._store.finish(queue, overdue, [end], last=True)

    # --- Returning

    def give(self, queue_name: str, results: Iterable[tuple[UUID, Any]]) -> Flow[None]:
        """Stores results and acknowledges their tasks; an exception as result fails its task."""
        by_id: dict[bytes, Any] = {}
        for task_id, result in results:
            by_id.setdefault(ids.to_bytes(task_id), result)
        yield from self._settle(queue_name, by_id, self._end)

    def acknowledge(self, queue_name: str, task_ids: Iterable[UUID]) -> Flow[None]:
        """Ends tasks whose results nobody wants."""
        by_id = dict.fromkeys(map(ids.to_bytes, task_ids))
        yield from self._settle(queue_name, by_id, _silent_end)

    def _settle(
        self,
        queue_name: str,
        by_id: dict[bytes, Any],
        end_of: Callable[[bytes, Any, Header], End],
    ) -> Flow[None]:
        queue = valid_queue_name(queue_name)
        for claim, group in self._claims.group(queue, by_id).items():
            headers = claim.headers if claim else {}
            unheld = Header(0)
            ends = [end_of(i, by_id[i], headers.get(i, unheld)) for i in group]
            yield from self._finish(queue, claim, ends)

    def _end(self, task_id: bytes, result: Any, header: Header) -> End:
        attempts = header.attempt + 1
        if not isinstance(result, Exception):
            try:
                return End(Way.DONE, task_id, self._encoded(result), header.channel)
            except TaskHelpersError as error:
                logger.error(
                    "The result of task %s cannot be returned: %s", ids.to_uuid(task_id), error
                )
                result = error
        return End(Way.FAILED, task_id, outcomes.encode_failure(result, attempts), header.channel)

    def _encoded(self, result: Any) -> bytes:
        outcome = outcomes.encode_success(result, self._options.codec)
        if len(outcome) > (limit := self._options.max_result):
            raise ResultTooLarge(
                f"the result takes {len(outcome):,} bytes and max_result is {limit:,}: "
                "store the data elsewhere and return its key"
            )
        return outcome

    def _finish(self, queue: str, claim: Claim | None, ends: list[End]) -> Flow[None]:
        """Another thread may be returning the rest of the batch: the later one closes it."""
        token = claim.token if claim else FOREIGN
        whole = claim is not None and len(ends) == len(claim.headers)
        refused = yield from self._store.finish(queue, token, ends, last=whole)
        if refused:
            logger.warning("%d results in queue %s came too late: not stored.", len(refused), queue)
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

    def release(self, queue_name: str) -> Flow[None]:
        """Gives back all that this courier holds of the queue."""
        queue = valid_queue_name(queue_name)
        for claim in self._claims.held(queue):
            yield from self._store.release(queue, claim.token)
            self._claims.drop(claim)

    def farewell(self, queue_name: str, worker: str) -> Flow[None]:
        return self._store.farewell(valid_queue_name(queue_name), worker)


def _require_count(max_count: int) -> None:
    if not isinstance(max_count, int) or max_count < 1:
        raise ValueError(f"max_count must be a whole number above 0, not {max_count!r}")


def _refusal(task_id: bytes, header: Header, error: TaskHelpersError) -> End:
    """The end of a task that no worker performs; all but the expired are kept as dead letters."""
    way = Way.FAILED if isinstance(error, TaskExpired) else Way.DEAD
    return End(way, task_id, outcomes.encode_failure(error, header.attempt), header.channel)


def _header_of(envelope: bytes) -> Header:
    try:
        return open_envelope(envelope)[0]
    except DeserializationError:
        return Header(0, channel=NO_CHANNEL)


def _silent_end(task_id: bytes, _: Any, header: Header) -> End:
    return End(Way.DONE, task_id, outcomes.NOT_STORED, header.channel)
