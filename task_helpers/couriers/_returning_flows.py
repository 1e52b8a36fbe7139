"""The worker's side of a courier, without I/O: results, errors, and what is performed again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from task_helpers import ids, outcomes
from task_helpers.couriers._claims import Claim
from task_helpers.couriers._wire import Wire
from task_helpers.couriers._worker_side import (
    UNHELD,
    LateEnds,
    WorkerSide,
    channels_of,
    known_header,
    report_refused,
    silent_ends,
)
from task_helpers.couriers.parcels import Again, Ends, Way
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.effects import Flow
from task_helpers.envelopes import NO_DEADLINE, with_attempts
from task_helpers.exceptions import TaskHelpersError
from task_helpers.plurals import counted
from task_helpers.retries import RetryPolicy

logger = logging.getLogger("task_helpers.couriers")


class ReturningFlows(WorkerSide):
    """From the worker to whoever waits."""

    def give(
        self,
        queue_name: str,
        results: Iterable[tuple[UUID | str, Any]],
        policy: RetryPolicy | None = None,
        soon: bool = False,
    ) -> Flow[None]:
        """Stores results and acknowledges their tasks; an exception as result fails its task."""
        yield from self._hand_over_owed()
        queue = valid_queue_name(queue_name)
        ending = _Ending(self._wire, queue, policy is not None and policy.max_attempts > 1)
        by_id = self._by_id(queue, list(results))
        for claim, group in self._claims.group(queue, list(by_id)).items():
            if claim and policy:
                group = yield from self._retry(claim, group, by_id, policy)
            if group:
                ends = LateEnds(group, partial(ending.of, group, by_id, claim))
                yield from self._end(queue, claim, ends, soon)

    def acknowledge(
        self, queue_name: str, task_ids: Iterable[UUID], soon: bool = False
    ) -> Flow[None]:
        """Ends tasks whose results nobody wants."""
        yield from self._hand_over_owed()
        queue = valid_queue_name(queue_name)
        ended = list(dict.fromkeys(self._claims.ids_of(queue, list(task_ids))))
        for claim, group in self._claims.group(queue, ended).items():
            ends = LateEnds(group, partial(silent_ends, group, claim))
            yield from self._end(queue, claim, ends, soon)

    def _by_id(self, queue: str, results: Sequence[tuple[UUID | str, Any]]) -> dict[bytes, Any]:
        """The first result of a task counts."""
        task_ids = self._claims.ids_of(queue, [task_id for task_id, _ in results])
        by_id = dict(zip(task_ids, [result for _, result in results], strict=True))
        if len(by_id) < len(task_ids):
            for task_id, (_, result) in zip(reversed(task_ids), reversed(results), strict=True):
                by_id[task_id] = result
        return by_id

    def _retry(
        self, claim: Claim, group: list[bytes], results: dict[bytes, Any], policy: RetryPolicy
    ) -> Flow[list[bytes]]:
        """
        Puts those off that are performed again, and returns the others: also those of a batch that
        the lease thread finds lost meanwhile, whose errors the store refuses.
        """
        failed = {i: results[i] for i in group if isinstance(results[i], Exception)}
        again = dict[bytes, Again]()
        if failed:
            again = _all_again(claim, failed, policy, (yield from self._store.now()))
        if again:
            refused = yield from self._store.retry(claim.queue, claim.token, list(again.values()))
            report_refused(claim.queue, refused)
            self._look_at.pop(claim.queue, None)  # they may be due before what was known
            if self._claims.settle(claim, again):
                yield from self._store.finish(claim.queue, claim.token, [], last=True)
        return [task_id for task_id in group if task_id not in again]


class _Ending:
    """
    What becomes of tasks that are returned together. One error may be that of all: it is encoded
    once.

    - may_retry - a failure that no retry is left for is kept as a dead letter.
    """

    def __init__(self, wire: Wire, queue: str, may_retry: bool) -> None:
        self._wire = wire
        self._queue = queue
        self._failure = Way.DEAD if may_retry else Way.FAILED
        self._encoded: dict[tuple[int, int], bytes] = {}

    def of(
        self, task_ids: Sequence[bytes], results: dict[bytes, Any], claim: Claim | None
    ) -> list[Ends]:
        """
        - claim - theirs, if this courier holds them.
        """
        errors = {i: results[i] for i in task_ids if isinstance(results[i], Exception)}
        done = [i for i in task_ids if i not in errors] if errors else list(task_ids)
        try:
            outcomes = self._wire.successes(self._queue, done, [results[i] for i in done])
        except TaskHelpersError:
            done, outcomes = self._encode_each(done, results, errors)
        ends = [Ends(Way.DONE, done, outcomes, channels_of(done, claim))] if done else []
        return ends + self._failures(errors, claim)

    def _encode_each(
        self, task_ids: Sequence[bytes], results: dict[bytes, Any], errors: dict[bytes, Exception]
    ) -> tuple[list[bytes], list[bytes]]:
        """Those that can be sent, and their outcomes. What is wrong with the others is an error."""
        made = dict[bytes, bytes]()
        for task_id in task_ids:
            try:
                [made[task_id]] = self._wire.successes(self._queue, [task_id], [results[task_id]])
            except TaskHelpersError as error:
                text = "The result of task %s in queue %s is not sent: %s"
                logger.error(text, ids.to_uuid(task_id), self._queue, error)
                errors[task_id] = error
        return list(made), list(made.values())

    def _failures(self, errors: dict[bytes, Exception], claim: Claim | None) -> list[Ends]:
        if not errors:
            return []
        held = claim.tasks if claim else {}
        outcomes = [self._failed(i, error, held.get(i, UNHELD)) for i, error in errors.items()]
        return [Ends(self._failure, list(errors), outcomes, channels_of(list(errors), claim))]

    def _failed(self, task_id: bytes, error: Exception, envelope: bytes) -> bytes:
        encoded = self._encode(error, known_header(envelope).attempt + 1)
        return self._wire.signed_outcome(self._queue, task_id, encoded)

    def _encode(self, error: Exception, attempts: int) -> bytes:
        key = id(error), attempts
        if key not in self._encoded:
            self._encoded[key] = outcomes.encode_failure(error, attempts)
        return self._encoded[key]


def _all_again(
    claim: Claim, failed: dict[bytes, Exception], policy: RetryPolicy, now: int
) -> dict[bytes, Again]:
    """A policy may be a project's own: what it raises must not lose the batch."""
    again, problems = dict[bytes, Again](), list[Exception]()
    for task_id, error in failed.items():
        try:
            envelope = claim.tasks.get(task_id, UNHELD)
            if verdict := _again(task_id, envelope, error, policy, now):
                again[task_id] = verdict
        except Exception as problem:
            problems.append(problem)
    if problems:
        logger.error(
            "The retry policy of queue %s failed, which ends %s that failed: %s: %s",
            claim.queue,
            counted(len(problems), "task"),
            type(problems[0]).__name__,
            problems[0],
        )
    return again


def _again(
    task_id: bytes, envelope: bytes, error: Exception, policy: RetryPolicy, now: int
) -> Again | None:
    """
    None when the policy gives up, when the next attempt would come after the deadline, and when
    the task is not held any more.
    """
    header = known_header(envelope)
    attempts = header.attempt + 1
    delay = policy.delay_after(error, attempts)
    if delay is None or envelope is UNHELD:
        return None
    wait = round(delay * 1000)
    if header.deadline != NO_DEADLINE and header.deadline <= now + wait:
        return None
    return Again(task_id, with_attempts(envelope, attempts), wait, header.priority)
