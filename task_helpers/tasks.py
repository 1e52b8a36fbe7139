"""What a task is to the outside."""

from __future__ import annotations

import enum
from typing import Any
from uuid import UUID

Task = tuple[UUID, Any]
"""(task_id, task_data) on the way to `perform_tasks`, (task_id, task_result) on the way back."""


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
