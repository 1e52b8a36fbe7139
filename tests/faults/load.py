"""Callers, adders and workers that go on while something is broken beside them."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from task_helpers.exceptions import CourierError, TaskHelpersError, TaskLost
from tests.faults.context import Field
from tests.faults.report import Figure, at_least, none, told
from tests.faults.worker import f
from tests.support.waiting import in_thread

CALLERS = 4
BULK = 50
BACKLOG = 500
"""Most tasks that wait: a caller must not wait for its turn, but for the fault to pass."""

PAUSE = 0.05
"""Seconds between two bulk adds: enough work to be hit, and the two cores are not the fault."""

CALL_TIMEOUT = 60.0
FIRST_CALL = 10**9
"""The numbers of calls begin here, those of a field's tasks at 0."""


class Load:
    """
    - answered - calls that returned f(number); wrong - with something else; hung - that ended by
      their timeout; errors - named errors of calls and adds by type.
    - added - tasks whose add was acknowledged.
    """

    def __init__(self, field: Field, callers: int = CALLERS) -> None:
        self.errors = Counter[str]()
        self.answered = self.wrong = self.hung = self.added = self.timeouts = 0
        self._field = field
        self._callers = callers
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._numbers = itertools.count(FIRST_CALL)
        self._threads: list[Future[None]] = []

    def __enter__(self) -> Load:
        self._threads = [in_thread(self._call) for _ in range(self._callers)]
        self._threads.append(in_thread(self._add))
        return self

    def __exit__(self, *_: object) -> None:
        """Waits until everybody has an end."""
        self._stopping.set()
        for thread in self._threads:
            thread.result(2 * CALL_TIMEOUT)
        self.timeouts = self._field.join()

    def _call(self) -> None:
        while not self._stopping.is_set():
            number = next(self._numbers)
            try:
                answer: Any = self._field.client.call(
                    self._field.queue, number, timeout=CALL_TIMEOUT
                )
            except TimeoutError:
                self._count("hung")
            except TaskHelpersError as error:
                self._name(error)
            else:
                self._count("answered" if answer[0] == f(number) else "wrong")

    def _add(self) -> None:
        while not self._stopping.wait(PAUSE):
            if self.added - len(self._field.seen) > BACKLOG:
                continue
            try:
                task_ids = self._field.add(BULK)
            except CourierError as error:
                self._name(error)
            else:
                self.added += len(task_ids)
                self._field.await_results(task_ids)

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def _name(self, error: Exception) -> None:
        with self._lock:
            self.errors[type(error).__name__] += 1

    # --- Figures

    def waiters(self) -> list[Figure]:
        """Of those who waited, whatever became of the data."""
        lost = sum(isinstance(result, TaskLost) for result in self._field.seen.values())
        return [
            at_least("calls answered", self.answered, 1),
            none("calls answered wrongly", self.wrong),
            none("waiters that hung", self.hung + self.timeouts),
            told("tasks added", self.added),
            told("awaited tasks that were named lost", lost),
            told("calls and adds that ended by a named error", self._names() or 0),
        ]

    def _names(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.errors.items())

    def undisturbed(self) -> list[Figure]:
        """Of a fault behind which all data were kept."""
        return [
            at_least("calls answered", self.answered, 1),
            at_least("tasks added", self.added, 1),
            none("waiters that hung", self.hung + self.timeouts),
            none("calls and adds refused", sum(self.errors.values()), self._names()),
            none("calls answered wrongly", self.wrong),
            unharmed(self._field),
            none("executions beyond the first", self._field.ledger.duplicates()),
        ]


def unharmed(field: Field) -> Figure:
    """All that the oracle looks for, in one figure."""
    figures = field.judge().figures()
    broken = ", ".join(str(figure) for figure in figures if not figure.kept)
    total = sum(float(figure.value) for figure in figures)
    return none("tasks lost, failed, answered twice or left behind", int(total), broken)


def named(prefix: str, figures: list[Figure]) -> list[Figure]:
    """The same figures, of one fault among others."""
    return [
        Figure(f"{prefix}: {figure.name}", figure.value, figure.unit, figure.promise, figure.kept)
        for figure in figures
    ]


def last(seconds: float) -> None:
    """A fault lasts for a time, and nothing tells when that is enough."""
    threading.Event().wait(seconds)


@contextmanager
def quietly() -> Iterator[None]:
    """Workers of this process do not write what is expected of them between the figures."""
    logger, handler = logging.getLogger("task_helpers"), logging.NullHandler()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
