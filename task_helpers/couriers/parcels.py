"""What goes between a courier and its store: tasks, their ends, and what is known of them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict


class Way(enum.StrEnum):
    """
    How a worker ends a task.

    - DONE - a success; accepted while the task is unfinished, whoever ran it: the first one wins.
    - FAILED - an error; accepted only under the lease of its batch.
    - DEAD - as FAILED, and the task is kept among the dead letters.
    - EXPIRED - as FAILED, but it was not performed: its deadline had passed.
    """

    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"
    EXPIRED = "expired"


class Ends(NamedTuple):
    """
    Tasks that end in one way, as columns: there is no object per task.

    - outcomes - theirs, in their order; an empty one is not stored.
    - channels - where the client of each listens, and gets the hint.
    """

    way: Way
    ids: Sequence[bytes]
    outcomes: Sequence[bytes]
    channels: Sequence[bytes]


class Again(NamedTuple):
    """A failed task that is performed again after `delay` ms, with its attempts counted."""

    task_id: bytes
    envelope: bytes
    delay: int
    priority: int


class Buried(NamedTuple):
    """A dead letter: the task, the outcome that its waiter got, and when, ms since 1970."""

    task_id: bytes
    envelope: bytes
    outcome: bytes
    buried_at: int


class HandOver(NamedTuple):
    """
    Ends of a whole batch that go along with the next take, so that its worker goes on while they
    are written.

    - ends - makes them, when the take is on its way.
    - told - is called, from any thread, with the ids refused, or with what went wrong: then they
      are to be handed over again. The first call counts.
    """

    token: bytes
    ends: Callable[[], Sequence[Ends]]
    told: Callable[[set[bytes] | BaseException], None]


class TakeOptions(TypedDict, total=False):
    """
    What else a take may be asked for.

    - beside - the process performs other batches beside this one: a crash blames no task alone,
      unless they are suspects, which the caller performs by themselves.
    - max_weight - the batch ends before the task that would exceed it, unless it is the first.
    - along - only where the store `takes_along`, and without a wait.
    """

    beside: bool
    max_weight: int | None
    along: HandOver | None


class Placement(NamedTuple):
    """
    Where new tasks stand.

    - priority - -100 to 100, higher ones are taken first.
    - delay - ms from now before which none is taken; due - the same as a point in time.
    - weight - how much of a batch each of them takes.
    """

    priority: int = 0
    delay: int = 0
    due: int = 0
    weight: int = 1

    @property
    def later(self) -> bool:
        """They are not for now."""
        return bool(self.delay or self.due)


IN_LINE = Placement()


class Taken(NamedTuple):
    """
    - tasks - the envelopes of the batch by id, in its order.
    - now - the store's clock.
    - next_due - when the next delayed task is due; None when there is none.
    - overdue - tokens of batches whose lease has run out.
    - suspects - a worker died with these tasks.
    """

    tasks: dict[bytes, bytes]
    now: int
    next_due: int | None
    overdue: list[bytes]
    suspects: bool = False


class Line(NamedTuple):
    """
    What waits to be taken.

    - length - about how many tasks.
    - oldest_made_at - when the first of them was made, ms since 1970 on its client's clock; 0 for
      suspects, which wait for no company, and when there is none.
    - now - the store's clock.
    """

    length: int
    oldest_made_at: int
    now: int


class Reclaimed(NamedTuple):
    """
    - back - how many tasks were queued again.
    - convicted - (id, envelope) of a task convicted of killing workers: the caller now holds its
      batch under a fresh lease and has to finish it as DEAD.
    """

    back: int
    convicted: tuple[bytes, bytes] | None


class Looked(NamedTuple):
    """
    What is known of awaited tasks; all others are unfinished.

    - ended - outcome by id.
    - gone - neither unfinished nor ended.
    """

    ended: dict[bytes, bytes]
    gone: list[bytes]
