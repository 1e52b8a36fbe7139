"""What the verbs of the database store share."""

from __future__ import annotations

import os
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from django.db import connections, models

from django_task_helpers.couriers._database import vendors
from django_task_helpers.couriers._database.asking import Asking
from django_task_helpers.couriers._database.clock import Clock
from django_task_helpers.couriers._database.known import Known
from django_task_helpers.couriers._database.telling import Telling
from django_task_helpers.couriers._database.turns import Turns
from django_task_helpers.models import Batch, Result, Task
from task_helpers.couriers.backends import Door, Lookout
from task_helpers.couriers.options import CourierOptions
from task_helpers.effects import Flow

M = TypeVar("M", bound=models.Model)
T = TypeVar("T")

MOST_READ = 10_000
"""Results that were read and wait to be deleted; what is beyond expires by itself."""


class Listening(Protocol):
    """Where this process waits, in threads or in an event loop."""

    @property
    def channel(self) -> bytes: ...

    @property
    def lookout(self) -> Lookout: ...


class Verbs:
    """
    A verb is a flow around one function, which is called where the database may be used.

    - using - the alias of the database.
    - waiting - where this process waits.
    - telling - who is told that there is something to be had.
    """

    def __init__(
        self,
        using: str,
        asking: Asking,
        waiting: Listening,
        telling: Telling,
        options: CourierOptions,
    ) -> None:
        self._using = using
        self._ask = asking
        self._waiting = waiting
        self._tell = telling
        self._options = options
        self._door = Door(options)
        self._clock = Clock()
        self._turns = Turns()
        self._known = defaultdict[str, Known](Known)
        self._read = deque[bytes](maxlen=MOST_READ)
        self._born = random.getrandbits(31)

    @property
    def channel(self) -> bytes:
        return self._waiting.channel

    @property
    def lookout(self) -> Lookout:
        return self._waiting.lookout

    def now(self) -> Flow[int]:
        if (now := self._clock.known()) is not None:
            return now
        return (yield from self._ask.query(self._now))

    # --- Within a query

    def _now(self) -> int:
        return self._clock.now(connections[self._using])

    def _writing(self, alone: bool = False) -> AbstractContextManager[None]:
        return vendors.writing(self._using, self._turns, alone)

    def _of(self, model: type[M]) -> models.QuerySet[M]:
        return model._default_manager.using(self._using)

    def _tasks(self, queue: str) -> models.QuerySet[Task]:
        return self._of(Task).filter(queue=queue)

    def _batches(self, queue: str) -> models.QuerySet[Batch]:
        return self._of(Batch).filter(queue=queue)

    def _results(self, queue: str) -> models.QuerySet[Result]:
        return self._of(Result).filter(queue=queue)

    def _outcomes(self, queue: str, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        columns = ("id", "outcome", "expires_at")
        found, now = vendors.rows_of(self._using, Result, columns, ids, queue=queue), self._now()
        return {task_id: outcome for task_id, outcome, expires_at in found if expires_at > now}

    @property
    def _shard(self) -> int:
        """Of this process, also after a fork."""
        return self._born ^ os.getpid()


def each(ids: Sequence[bytes], ask: Callable[[Sequence[bytes]], Iterable[T]]) -> list[T]:
    """The rows of all queries for so many ids."""
    return [row for part in vendors.parts_of(ids) for row in ask(part)]
