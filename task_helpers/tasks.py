"""What a task is to the outside."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, NamedTuple
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


class TaskStatus(enum.StrEnum):
    """
    Where a task is.

    - WAITING - in the queue.
    - DELAYED - in the queue, not before its time.
    - RUNNING - in the batch of a worker.
    - SUCCEEDED, FAILED, CANCELLED - ended; the result can be read until it expires.
    - UNKNOWN - never added, or ended and its result was read or has expired.
    """

    WAITING = "waiting"
    DELAYED = "delayed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
