"""What the log says of failed tasks: a record per batch and kind of error, and not per task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from traceback import walk_tb
from typing import Any, NamedTuple
from uuid import UUID

from task_helpers.plurals import counted
from task_helpers.tasks import Task

logger = logging.getLogger("task_helpers.workers")

TRACEBACK_PAUSE = 60.0
"""Seconds in which the traceback of one kind of error is shown once."""

MOST_KINDS = 100
"""How many kinds are remembered for that."""

OTHERS = 4
"""How many of the other tasks with the same error are named."""

LONGEST_TEXT = 500

LONGEST_CHAIN = 20

REFUSALS = {"IntegrityError", "DataError", "UnknownFunction", "InvalidFunction"}
"""
By the first two, names of PEP 249, a database refuses the data of a task, by the others a worker
does. Where that was tells nothing: in the fifty lines of an ORM, or in this package.
"""

Kind = tuple[Any, ...]


class Failed(NamedTuple):
    task_id: UUID
    error: BaseException


class Failures:
    """
    What a worker's tasks raised. Several batches may be performed at the same time.

    - attempt_of - which execution of a task at hand the present one is.
    """

    def __init__(self, attempt_of: Callable[[UUID], int]) -> None:
        self._attempt_of = attempt_of
        self._raised: dict[UUID, BaseException] = {}
        self._shown: dict[Kind, float] = {}  # when its traceback was, on `time.monotonic()`

    def note(self, task_ids: Iterable[UUID], error: BaseException) -> None:
        self._raised.update(dict.fromkeys(task_ids, error))

    def report(self, results: Sequence[Task], queue: str) -> None:
        """
        After a batch; what failed at first and then succeeded is forgotten. An exception that was
        given as a result and never raised is a worker's own decision, and not told.
        """
        if not self._raised:
            return
        kinds = dict[Kind, list[Failed]]()
        for task_id, result in results:
            error = self._raised.pop(task_id, None)
            if error is not None and isinstance(result, Exception):
                kinds.setdefault(_kind(error), []).append(Failed(task_id, error))
        for kind, failed in kinds.items():
            shows = not _is_refusal(failed[0].error) and self._is_due(kind)
            text = self._text(failed, len(results), queue)
            logger.error("%s", text, exc_info=failed[0].error if shows else None)

    def _is_due(self, kind: Kind) -> bool:
        now = time.monotonic()
        if kind in self._shown and now < self._shown[kind] + TRACEBACK_PAUSE:
            return False
        if len(self._shown) >= MOST_KINDS:
            self._shown.clear()
        self._shown[kind] = now
        return True

    def _text(self, failed: list[Failed], number: int, queue: str) -> str:
        first, *others = failed
        attempt = f"attempt {self._attempt_of(first.task_id)}"
        error = one_line(first.error)
        if not others:
            return f"Task {first.task_id} in queue {queue} failed, {attempt}: {error}"
        named = ", ".join(str(other.task_id) for other in others[:OTHERS])
        more = ", …" if len(others) > OTHERS else ""
        return (
            f"{len(failed)} of {counted(number, 'task')} in queue {queue} failed: {error} "
            f"(task {first.task_id}, {attempt}; also {named}{more})"
        )


def one_line(error: BaseException) -> str:
    """An error of a database has several. Never fails, whatever text the error has."""
    try:
        text = " ".join(str(error).split())[:LONGEST_TEXT]
    except Exception as problem:
        text = f"(its text cannot be read: {type(problem).__name__})"
    name = type(error).__qualname__
    return f"{name}: {text.encode('utf-8', 'backslashreplace').decode()}" if text else name


def _kind(error: BaseException) -> Kind:
    """
    Its type and the lines that it passed, and those of what it was raised from: one bug, whatever
    the message says.
    """
    parts, link = list[Any](), error
    for _ in range(LONGEST_CHAIN):
        parts.append(type(link))
        parts += ((frame.f_code, line) for frame, line in walk_tb(link.__traceback__))
        origin = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        if origin is None:
            break
        link = origin
    return tuple(parts)


def _is_refusal(error: BaseException) -> bool:
    return any(kind.__name__ in REFUSALS for kind in type(error).__mro__)
