"""The queues for the admin, and the tables of the database courier."""

from django_task_helpers.models.queue import Queue
from django_task_helpers.models.rows import (
    Batch,
    Count,
    DeadLetter,
    Drain,
    Result,
    SharedKey,
    State,
    Task,
    Worker,
)

__all__ = [
    "Batch",
    "Count",
    "DeadLetter",
    "Drain",
    "Queue",
    "Result",
    "SharedKey",
    "State",
    "Task",
    "Worker",
]
