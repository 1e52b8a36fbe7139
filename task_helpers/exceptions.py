"""Every error of the package, in one tree. This module imports nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class TaskHelpersError(Exception):
    """The root of all errors raised by this package (but `TimeoutError` at waiting workers)."""


# --- What a caller or worker asked for


class DoesNotExistError(TaskHelpersError):
    """What was asked for is not there."""


class TaskDoesNotExist(DoesNotExistError):
    """The queue has no task to take now."""


class TaskResultDoesNotExist(DoesNotExistError):
    """The task has no result (yet): it has not ended, or its result was read or has expired."""


class InvalidQueueName(TaskHelpersError, ValueError):
    """A queue name is 1 to 100 of the characters A-Z a-z 0-9 _ . : -"""


class SerializationError(TaskHelpersError, ValueError):
    """A task or a result holds something that the serializer cannot encode."""


class DeserializationError(TaskHelpersError, ValueError):
    """Stored bytes cannot be decoded: damaged, or written by another version or serializer."""


class PayloadTooLarge(TaskHelpersError, ValueError):
    """An encoded task is larger than `max_payload`: store the data elsewhere and send its key."""


class ResultTooLarge(TaskHelpersError, ValueError):
    """An encoded result is larger than `max_result`: store the data and return its key."""


class InvalidFunction(TaskHelpersError, ValueError):
    """A function cannot be registered under this name, or task_data is no call of one."""


class UnknownFunction(TaskHelpersError, LookupError):
    """No function is registered under this name."""


class SoftTimeLimitExceeded(TaskHelpersError):
    """
    Raised inside a function that runs longer than its `soft_time_limit`, once: clean up and end.
    Whoever waits gets `TimeLimitExceeded`, unless the function catches this and returns a result.
    """

    def __init__(self, message: str = "the soft time limit is over") -> None:
        super().__init__(message)


# --- The store behind the courier


class CourierError(TaskHelpersError):
    """The store behind a courier answered with an error that repeating does not cure."""


class CourierUnavailable(CourierError, ConnectionError):
    """The store behind a courier cannot be reached."""


class QueueFull(CourierError):
    """
    The queue would exceed `max_queue_length`, or its workers need more than `max_queue_seconds` for
    what it holds. Nothing was added.

    - retry_after - seconds until there should be room again, 1 to 60: from the rate at which the
      queue is drained, a guess where that is not known.
    """

    def __init__(self, message: str = "", *, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreFull(CourierError):
    """The store has no memory for new tasks; workers still drain it. Nothing was added."""


# --- A wait that was over before the task


class TaskTimeout(TaskHelpersError, TimeoutError):
    """
    The time of whoever waited for a result is up. The task goes on, unless it has a deadline.

    - queue_name - of the task.
    """

    def __init__(self, message: str = "", *, queue_name: str = "") -> None:
        super().__init__(message)
        self.queue_name = queue_name


class WaitInTransactionError(TaskHelpersError, RuntimeError):
    """The task is not there before the transaction commits in which it is waited for."""


# --- How a task can end other than by its result


class PerformTaskError(TaskHelpersError):
    """
    A task failed. Raised at whoever waits for its result.

    - task_id - id of the task (`uuid.UUID`), None where it is not known.
    - exception_type - name of the exception raised in the worker, "" if there was none.
    - message - its text.
    - remote_traceback - its traceback in the worker, as text; "" if there was none.
    - attempts - how many times the task was executed.
    """

    def __init__(
        self,
        message: str = "",
        *,
        task_id: UUID | None = None,
        exception_type: str = "",
        remote_traceback: str = "",
        attempts: int = 1,
    ) -> None:
        super().__init__(message)
        self.message = str(message)  # anything may be raised with it
        self.task_id = task_id
        self.exception_type = exception_type
        self.remote_traceback = remote_traceback
        self.attempts = attempts

    def __str__(self) -> str:
        text = f"{self.exception_type}: {self.message}" if self.exception_type else self.message
        return f"{text} (task {self.task_id})" if self.task_id else text


class TaskNotReturned(PerformTaskError):
    """`perform_tasks` ended without a result for this task."""


class WorkerLost(PerformTaskError):
    """The task was alone in its batch each of the times that its worker died."""


class TaskExpired(PerformTaskError):
    """The task was not taken before its deadline, or not again after its worker died."""


class TaskCancelled(PerformTaskError):
    """The task was cancelled before a worker took it."""


class TimeLimitExceeded(PerformTaskError):
    """The task ran longer than its `soft_time_limit` or `time_limit`."""


class TaskLost(PerformTaskError):
    """The store knows neither the task nor a result: never added, read before, expired or lost."""
