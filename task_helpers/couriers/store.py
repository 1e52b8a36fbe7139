"""
Store: what a courier needs of the engine behind it, as plural verbs on opaque bytes.

A new backend is one implementation of this. Every verb is a flow (see `effects`): one atomic step
for up to 1,000 tasks, which it repeats by itself when its reply was lost, to the same end. Ids
and tokens are 16 bytes, envelopes and outcomes any bytes, times in ms on the store's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Unpack

from task_helpers.couriers._lookout import Lookout
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
)
from task_helpers.couriers.stats import QueueStats
from task_helpers.effects import Flow
from task_helpers.exceptions import CourierError
from task_helpers.tasks import TaskStatus

MAX_BATCH = 1_000
"""Most tasks of one take: a longer batch would hold up everybody else's commands."""

CONVICTING_CRASHES = 3
"""So often a task must have been alone when its worker died, to become a dead letter."""

WORKER_FORGOTTEN_MS = 60_000
"""A worker that has not reported for so long is not counted any more."""

PROGRESS_KEPT_MS = 24 * 3_600_000
"""How long what running tasks said is kept when none of their queue says more."""

IMPATIENT_SECONDS = 1.0
"""For what is good to know, or polite to do, and not worth a wait for a store that is away."""


class Store(Protocol):
    """The verbs."""

    @property
    def channel(self) -> bytes:
        """Eight bytes that name where this process listens for hints; new after a fork."""

    @property
    def lookout(self) -> Lookout:
        """Those who wait in this process; `Listen` is for what is registered there."""

    def bounded(self, until: float) -> Store:
        """
        The same store for whoever cannot wait: its flows raise CourierUnavailable at that moment
        (`time.monotonic()`) at the latest, however long the courier's own operations try.
        """

    @property
    def takes_along(self) -> bool:
        """Whether a take can bring the ends of the batch before it along, see `TakeOptions`."""

    def now(self) -> Flow[int]:
        """The store's clock: deadlines are compared on it, whatever the clients' clocks say."""

    def add(
        self,
        queue: str,
        tasks: Sequence[tuple[bytes, bytes]],
        place: Placement = IN_LINE,
        unless: Callable[[CourierError], None] | None = None,
        again: bool = False,
    ) -> Flow[None]:
        """
        Queues (id, envelope) pairs.

        - again - they may have been added before: an id that is there already, or has ended, adds
          nothing.
        - unless - for a caller that will wait for the results: then the flow may end before the
          tasks are added, and this is called, from any thread, if they could not be: with
          `CourierUnavailable` where nobody knows, else they are refused.

        Raises QueueFull when the queue would exceed its bound and StoreFull when the store has
        no memory; in both cases nothing was added.
        """

    def share(
        self,
        queue: str,
        task: tuple[bytes, bytes],
        key: bytes,
        place: Placement = IN_LINE,
    ) -> Flow[bytes]:
        """
        As `add` for one task with a key: while another task of this key is unfinished, nothing is
        added. Returns the id of the task that there is now.
        """

    def take(
        self,
        queue: str,
        token: bytes,
        max_count: int,
        lease: int,
        wait: float = 0,
        **how: Unpack[TakeOptions],
    ) -> Flow[Taken]:
        """
        Moves up to max_count tasks into a batch named by the caller's token, leased for so many
        ms; waits up to `wait` seconds for a first task. The same token gives the same batch, and
        a fresh lease.
        """

    def line(self, queue: str, wait: float = 0) -> Flow[Line]:
        """What could be taken; waits up to `wait` seconds for a first task."""

    def renew(
        self, queue: str, worker: str, tokens: Sequence[bytes], lease: int
    ) -> Flow[set[bytes]]:
        """Extends the leases of a worker, which also says that it lives. Returns tokens lost."""

    def farewell(self, queue: str, worker: str) -> Flow[None]:
        """The worker has stopped in good order and is no longer counted."""

    def finish(
        self, queue: str, token: bytes, ends: Sequence[Ends], *, last: bool
    ) -> Flow[set[bytes]]:
        """
        Stores outcomes, acknowledges the tasks and sends the hints in one step. `last` closes the
        batch: give it only when every task of the batch has an end. Returns the ids refused.
        """

    def retry(self, queue: str, token: bytes, tasks: Sequence[Again]) -> Flow[set[bytes]]:
        """
        Puts tasks of a batch off, to be taken again later; only under its lease. Returns the ids
        refused.
        """

    def progress(
        self, queue: str, token: bytes, notes: Sequence[tuple[bytes, bytes]]
    ) -> Flow[None]:
        """
        Keeps (id, note) of how far tasks of a batch are, until they end or the batch does; what
        comes without its lease is dropped.
        """

    def release(self, queue: str, token: bytes) -> Flow[None]:
        """Gives a batch back, to the head of the queue; nobody is blamed."""

    def reclaim(
        self, queue: str, token: bytes, lease: int, *, dead: bool = False
    ) -> Flow[Reclaimed]:
        """
        Dissolves a batch whose lease has run out, or, `dead`, whose worker was seen to die; its
        tasks become suspects.
        """

    def leases(self, queue: str) -> Flow[list[bytes]]:
        """The tokens of all batches that workers hold."""

    def steady_for(self) -> float:
        """
        Seconds since the store was last found unreachable. For a while after an outage, leases
        have run out only because nobody could renew them. No I/O.
        """

    def is_gone(self) -> bool:
        """Whether it has given nobody here an answer for `retry_seconds`. No I/O."""

    def concerns(self) -> Flow[list[str]]:
        """What is wrong with the store's own settings, a line each; asked when a worker starts."""

    def cancel(self, queue: str, task_id: bytes, outcome: bytes) -> Flow[bool]:
        """Ends a task that no worker has taken yet. False: it runs, has ended, or never was."""

    def outcomes(self, queue: str, ids: Sequence[bytes]) -> Flow[list[bytes | None]]:
        """What is stored for each id, in their order."""

    def look(self, queue: str, ids: Sequence[bytes]) -> Flow[Looked]:
        """Which have ended, and which had not and were not unfinished either, at one moment."""

    def forget(self, queue: str, ids: Sequence[bytes], *, soon: bool = False) -> Flow[None]:
        """
        Deletes outcomes that were read.

        - soon - nobody else knows of these tasks: it need not be now, if later is cheaper.
        """

    def status(self, queue: str, task_id: bytes) -> Flow[TaskStatus]:
        """Where a task is, with the note of a running one."""

    def stats(self, queue: str) -> Flow[QueueStats]:
        """The numbers of a queue, at a cost that grows with what runs, not with what waits."""

    def dead_letters(self, queue: str, count: int) -> Flow[list[Buried]]:
        """The newest dead letters."""

    def requeue_dead(self, queue: str, tasks: Sequence[tuple[bytes, bytes]]) -> Flow[int]:
        """Queues dead letters again under these envelopes. Returns how many there were."""

    def delete_dead(self, queue: str, ids: Sequence[bytes]) -> Flow[int]:
        """Forgets dead letters. Returns how many there were."""

    def repair(self, queue: str) -> Flow[int]:
        """Queues again what is unfinished and nowhere in line. Returns how many there were."""
