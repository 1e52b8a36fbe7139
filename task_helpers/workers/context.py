"""What a function knows of the task that it performs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID


class Performing(Protocol):
    """The part of a worker that its running tasks need."""

    queue_name: str

    def set_progress(self, task_id: UUID, fraction: float | None, message: str = "") -> None: ...

    def get_attempt(self, task_id: UUID) -> int: ...


@dataclass(frozen=True, slots=True)
class Running:
    """One task that a worker performs now."""

    worker: Performing
    task_id: UUID


_running: ContextVar[Running | None] = ContextVar("task_helpers_running", default=None)


@contextmanager
def running(worker: Performing, task_id: UUID) -> Iterator[None]:
    """Inside, `context` is that of this task: in this thread, and in coroutines that it starts."""
    token = _running.set(Running(worker, task_id))
    try:
        yield
    finally:
        _running.reset(token)


class Context:
    """
    The task that is performed here and now, whichever worker performs it one by one. Where none
    is, as in a test that calls the function, there is nothing to tell and nobody to be told.
    """

    @property
    def task_id(self) -> UUID | None:
        """Id of the task; None: there is none."""
        now = _running.get()
        return now.task_id if now else None

    @property
    def queue_name(self) -> str:
        """The queue that it came from; "": there is no task."""
        now = _running.get()
        return now.worker.queue_name if now else ""

    @property
    def attempt(self) -> int:
        """Which execution of the task this is; 1: the first. 0: there is no task."""
        now = _running.get()
        return now.worker.get_attempt(now.task_id) if now else 0

    def set_progress(self, fraction: float | None, message: str = "") -> None:
        """
        Says how far the task is, for `get_task_status`. May be called as often as you like: it
        waits for no store, and a store that is away fails no task.

        - fraction - how much is done, 0 to 1; None: not known.
        - message - what is being done; 500 characters of it are kept.
        """
        if now := _running.get():
            now.worker.set_progress(now.task_id, fraction, message)


context: Final = Context()
"""For all tasks: each thread and each coroutine sees its own."""
