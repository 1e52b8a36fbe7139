"""What a task is to the outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Self
from uuid import UUID

Task = tuple[UUID, Any]
"""(task_id, task_data) on the way to `perform_tasks`, (task_id, task_result) on the way back."""


class DeadLetter(NamedTuple):
    """
    A task that was given up, kept to be looked at.

    - task_data - what was added; its bytes where they cannot be decoded.
    - error - what its waiter got.
    - buried_at - when, in UTC.
    """

    task_id: UUID
    task_data: Any
    error: Exception
    buried_at: datetime


class TaskStatus(str):
    """
    Where a task is: a `str` that equals one of these, and how far it says that it is.

    - WAITING - in the queue.
    - DELAYED - in the queue, not before its time.
    - RUNNING - in the batch of a worker.
    - SUCCEEDED, FAILED, CANCELLED - ended; the result can be read until it expires.
    - UNKNOWN - never added, or ended and its result was read or has expired.

    - progress - how much of a running task is done, 0 to 1; None: it did not say.
    - message - what it is doing; "": it did not say.
    """

    WAITING: ClassVar[TaskStatus]
    DELAYED: ClassVar[TaskStatus]
    RUNNING: ClassVar[TaskStatus]
    SUCCEEDED: ClassVar[TaskStatus]
    FAILED: ClassVar[TaskStatus]
    CANCELLED: ClassVar[TaskStatus]
    UNKNOWN: ClassVar[TaskStatus]

    progress: float | None
    message: str

    def __new__(cls, value: str, progress: float | None = None, message: str = "") -> Self:
        status = super().__new__(cls, value)
        status.progress, status.message = progress, message
        return status

    def __repr__(self) -> str:
        if self.progress is None and not self.message:
            return f"<TaskStatus {self}>"
        return f"<TaskStatus {self} progress={self.progress} message={self.message!r}>"


TaskStatus.WAITING = TaskStatus("waiting")
TaskStatus.DELAYED = TaskStatus("delayed")
TaskStatus.RUNNING = TaskStatus("running")
TaskStatus.SUCCEEDED = TaskStatus("succeeded")
TaskStatus.FAILED = TaskStatus("failed")
TaskStatus.CANCELLED = TaskStatus("cancelled")
TaskStatus.UNKNOWN = TaskStatus("unknown")
