"""What taking, returning and holding tasks have in common."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from task_helpers.couriers._claims import Claim, Claims
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.parcels import Ends, HandOver, Way
from task_helpers.couriers.store import IMPATIENT_SECONDS, Store
from task_helpers.effects import Flow
from task_helpers.envelopes import Header, channel_of, header_of
from task_helpers.exceptions import (
    CourierError,
    CourierUnavailable,
    DeserializationError,
    TaskExpired,
)
from task_helpers.forks import restart_after_fork
from task_helpers.outcomes import NOT_STORED
from task_helpers.plurals import counted

logger = logging.getLogger("task_helpers.couriers")

FOREIGN = b""
"""The token of results for tasks that this courier does not hold."""

UNHELD = b""
"""The envelope of a task that this courier does not hold."""

NO_HEADER = Header(codec=0)


class LateEnds:
    """
    Ends that are made when they are needed: to encode results takes time in which the store could
    do something else.

    - ids - of which tasks.
    """

    def __init__(self, ids: Sequence[bytes], make: Callable[[], Sequence[Ends]]) -> None:
        self.ids = ids
        self._make = make
        self._made: Sequence[Ends] | None = None

    def made(self) -> Sequence[Ends]:
        """The same each time."""
        if self._made is None:
            self._made = self._make()
        return self._made


class WorkerSide:
    """
    - worker_id - eight bytes with which the tokens of its batches begin, so that whoever sees the
      worker die can tell which batches it held.
    """

    def __init__(self, store: Store, options: CourierOptions) -> None:
        self._store = store
        self._options = options
        self._wire = Wire(options)
        self.restart()
        restart_after_fork(self)

    def restart(self) -> None:
        """As a worker that has taken nothing."""
        self.worker_id = os.urandom(8)
        self._claims = Claims()
        self._look_at: dict[str, float] = {}  # queue -> when to look into it, `time.monotonic()`
        self._owed: deque[tuple[Claim, LateEnds]] = deque()  # what is to be written
        self._unanswered: dict[str, bytes] = {}  # queue -> token of a take that got no answer

    def _end(self, queue: str, claim: Claim | None, ends: LateEnds, soon: bool) -> Flow[None]:
        """`soon`: with the next take, if it is the rest of a batch and the store can do that."""
        if claim and soon and claim.ends_with(ends.ids) and self._store.takes_along:
            claim.ending = True
            self._owed.append((claim, ends))
        else:
            yield from self._finish(queue, claim, ends.made())

    def _hand_over_owed(self) -> Flow[None]:
        """Before all that could otherwise be done with a batch whose end is on its way."""
        while owed := self._next_owed():
            claim, ends = owed
            try:
                refused = yield from self._store.finish(
                    claim.queue, claim.token, ends.made(), last=True
                )
            except BaseException as error:
                self._owe_again(owed, error)
                raise
            report_refused(claim.queue, refused)
            self._claims.drop(claim)

    def _owe_again(self, owed: tuple[Claim, LateEnds], error: BaseException) -> None:
        """What a store that answers refuses is left to its lease: it would hold up all others."""
        if isinstance(error, CourierError) and not isinstance(error, CourierUnavailable):
            self._claims.drop(owed[0])
        else:
            self._owed.appendleft(owed)

    def _next_owed(self) -> tuple[Claim, LateEnds] | None:
        """The thread that renews leases may be faster."""
        if self._owed:
            with suppress(IndexError):
                return self._owed.popleft()
        return None

    def _owed_along(self, queue: str) -> HandOver | None:
        """What the next take takes along; who is told later makes sure that nothing is lost."""
        if (owed := self._next_owed()) is None:
            return None
        if owed[0].queue != queue:
            self._owed.appendleft(owed)
            return None
        return self._hand_over(*owed)

    def _hand_over(self, claim: Claim, ends: LateEnds) -> HandOver:
        is_told = False

        def told(refused: set[bytes] | BaseException) -> None:
            nonlocal is_told
            if is_told:
                return
            is_told = True
            if isinstance(refused, BaseException):
                self._owed.append((claim, ends))
            else:
                report_refused(claim.queue, refused)
                self._claims.drop(claim)

        return HandOver(claim.token, ends.made, told)

    def _finish(self, queue: str, claim: Claim | None, ends: Sequence[Ends]) -> Flow[None]:
        """Another thread may be returning the rest of the batch: the later one closes it."""
        token = claim.token if claim else FOREIGN
        ended = [task_id for each in ends for task_id in each.ids]
        whole = claim is not None and claim.ends_with(ended)
        if claim and whole:
            claim.ending = True
        refused = yield from self._store.finish(queue, token, ends, last=whole)
        report_refused(queue, refused)
        if claim and whole:
            self._claims.drop(claim)
        elif claim and self._claims.settle(claim, ended):
            yield from self._store.finish(queue, token, [], last=True)

    def _refusal(self, queue: str, task_id: bytes, envelope: bytes, error: Exception) -> Ends:
        """The end of a task that no worker performs; all but the expired become dead letters."""
        header = known_header(envelope)
        way = Way.EXPIRED if isinstance(error, TaskExpired) else Way.DEAD
        outcome = self._wire.failure(queue, task_id, error, header.attempt)
        return Ends(way, [task_id], [outcome], [header.channel])

    def _impatient(self) -> Store:
        return self._store.bounded(time.monotonic() + IMPATIENT_SECONDS)


def known_header(envelope: bytes) -> Header:
    """What is no envelope still needs an end: its header is empty."""
    try:
        return header_of(envelope)
    except DeserializationError:
        return NO_HEADER


def silent_ends(task_ids: Sequence[bytes], claim: Claim | None) -> list[Ends]:
    """
    - claim - theirs, if this courier holds them.
    """
    return [Ends(Way.DONE, task_ids, [NOT_STORED] * len(task_ids), channels_of(task_ids, claim))]


def by_way(ends: Iterable[Ends]) -> list[Ends]:
    """The same, as few as possible."""
    columns: dict[Way, tuple[list[bytes], list[bytes], list[bytes]]] = {}
    for way, *parts in ends:
        for column, part in zip(columns.setdefault(way, ([], [], [])), parts, strict=True):
            column.extend(part)
    return [Ends(way, *parts) for way, parts in columns.items()]


def channels_of(task_ids: Sequence[bytes], claim: Claim | None) -> list[bytes]:
    """As `silent_ends`."""
    if claim and claim.channel is not None:
        return [claim.channel] * len(task_ids)
    held = claim.tasks if claim else {}
    return [channel_of(held.get(task_id, UNHELD)) for task_id in task_ids]


def report_refused(queue: str, refused: set[bytes]) -> None:
    if refused:
        number = counted(len(refused), "result")
        logger.warning("%s in queue %s came too late: not stored.", number, queue)
