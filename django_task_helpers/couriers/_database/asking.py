"""The one retry loop: every verb is one transaction that may be repeated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django_task_helpers.couriers._database.errors import (
    FAILURES,
    InTransaction,
    is_conflict,
    lasting,
    passes,
    translated,
)
from task_helpers.couriers.backends import Health, pauses
from task_helpers.effects import Effect, Flow, Sleep

T = TypeVar("T")


class Query(Effect):
    """Calls `act` in a thread that may use the database, and replies what it returns."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act


class Asking:
    """
    Asks until the database has answered; within a transaction of the caller's, once.

    - using - the alias.
    - retry_seconds - how long a database that gives no answer is asked again.
    - until - when an answer is of no use any more, on `time.monotonic()`.
    """

    def __init__(
        self,
        using: str,
        retry_seconds: float,
        until: float = math.inf,
        health: Health | None = None,
    ) -> None:
        self._using = using
        self._retry_seconds = retry_seconds
        self._until = until
        self.health = health or Health()

    def bounded(self, until: float) -> Asking:
        """The same, but it gives up at that moment."""
        return Asking(self._using, self._retry_seconds, min(until, self._until), self.health)

    def is_gone(self) -> bool:
        """Whether it has been silent for as long as anybody would ask it again."""
        return self.health.silent_for() >= self._retry_seconds

    def query(self, act: Callable[[], T], again: Callable[[], T] | None = None) -> Flow[T]:
        """
        What `act` returns.

        - again - called instead on a repeat: the first time, all may have been done.
        """
        asked_at = time.monotonic()
        later = pauses(min(asked_at + self._retry_seconds, self._until))
        while True:
            try:
                reply: T = yield Query(act)
                self.health.note_answer()
                return reply
            except InTransaction as error:
                raise lasting(error.error, self._using) or error.error from None
            except FAILURES as error:
                pause = next(later, None) if passes(error) else None
                self._note(error, asked_at)
                if pause is None:
                    raise translated(error, self._using) from None
            yield Sleep(pause)
            act = again or act

    def _note(self, error: Exception, asked_at: float) -> None:
        if is_conflict(error):
            self.health.note_answer()
        elif passes(error):
            self.health.note_outage(asked_at)
