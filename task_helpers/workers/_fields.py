"""The class fields of a worker: what they mean, and which values they may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from task_helpers.counts import whole_number
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.couriers.store import MAX_BATCH
from task_helpers.durations import Duration, seconds
from task_helpers.exceptions import InvalidQueueName
from task_helpers.retries import ErrorTypes, RetryPolicy
from task_helpers.workers._names import (
    check_performing,
    check_private,
    field_names,
    flag_names,
    is_method,
    misspelt,
)
from task_helpers.workers._splitting import ON_BATCH_ERROR

AUTO = "auto"


class WorkerFields:
    """
    - queue_name - the queue it works on.
    - max_tasks_per_iteration - most tasks of one batch.
    - linger - how long (seconds or timedelta) the oldest waiting task may wait, from when it was
      added, for a batch to fill. 0: a batch is what waits. "auto": this and the size of a batch
      are learnt, for results within `target_latency`.
    - min_tasks - so many waiting tasks are a batch without lingering for more; None: as many as
      one may have.
    - target_latency - how long (seconds or timedelta) after a task was added its result should be
      there, for `linger = "auto"`.
    - max_batch_weight - a batch ends before the task whose `weight` would make that of the batch
      exceed this; a heavier one goes alone. None: only their number counts.
    - needs_result_returning - False: results are not stored, nobody waits for them.
    - max_attempts, retry_delay, max_retry_delay, retry_on, give_up_on - which failed tasks are
      performed again, and when, see `RetryPolicy`.
    - on_batch_error - what becomes of a batch whose `perform_tasks` raises. "fail": all its tasks
      fail. "split": its halves are performed, and theirs, until the guilty tasks are alone.
      "single": each of its tasks is performed alone.
    - max_batch_seconds - a batch that takes longer counts as stuck: the process prints the stacks
      of its threads and ends with exit code 70. None: any time.
    - max_tasks - stop after so many tasks; None: go on.
    - max_rss - stop after the batch with which the process takes more memory than so many MiB;
      None: go on.
    - burst - True: stop when there is no task to take now, whatever comes later.
    """

    queue_name: str = ""
    max_tasks_per_iteration: int = 100
    linger: Duration | Literal["auto"] = 0
    min_tasks: int | None = None
    target_latency: Duration | None = None
    max_batch_weight: int | None = None
    needs_result_returning: bool = True
    max_attempts: int = 1
    retry_delay: Duration = 1
    max_retry_delay: Duration = 600
    retry_on: ErrorTypes = (Exception,)
    give_up_on: ErrorTypes = ()
    on_batch_error: str = "fail"
    max_batch_seconds: Duration | None = 3600
    max_tasks: int | None = None
    max_rss: float | None = None
    burst: bool = False

    _awaits = False  # True: its methods may be coroutines

    def check_fields(self) -> None:
        """
        `ValueError` when a class field has a value that no worker can have, a class defines or
        sets by chance what is private here, or defines nothing that performs tasks.
        """
        check_private(self)
        check_performing(self, self._awaits)
        if not self.queue_name:
            raise InvalidQueueName(f"set queue_name of {type(self).__name__}: it works on no queue")
        valid_queue_name(self.queue_name)
        self._check_filling()
        self._check_flags()
        if self.max_tasks is not None:
            whole_number(self.max_tasks, "max_tasks")
        if self.on_batch_error not in tuple(ON_BATCH_ERROR):  # it may be unhashable
            known = ", ".join(map(repr, ON_BATCH_ERROR))
            raise ValueError(f"on_batch_error must be one of {known}, not {self.on_batch_error!r}")
        if self.max_batch_seconds is not None:
            seconds(self.max_batch_seconds, "max_batch_seconds")
        if self.max_rss is not None and not _is_positive(self.max_rss):
            raise ValueError(f"max_rss must be a number of MiB above 0, not {self.max_rss!r}")
        self._retry_policy()

    @classmethod
    def field_names(cls) -> set[str]:
        """The names of the class fields, with or without a default, also of those that you add."""
        return field_names(cls)

    def get_field_concerns(self) -> list[str]:
        """Lines about names that are nearly those of fields, and do nothing."""
        kind = type(self).__qualname__
        return [f"{kind} has {name}: did you mean {near}?" for name, near in misspelt(self)]

    def _check_flags(self) -> None:
        for name in flag_names(type(self)):
            if not isinstance(value := getattr(self, name, False), bool):
                raise ValueError(f"{name} must be True or False, not {value!r:.100}")

    def _check_filling(self) -> None:
        whole_number(self.max_tasks_per_iteration, "max_tasks_per_iteration", 1, MAX_BATCH)
        for name in ("min_tasks", "max_batch_weight"):
            if (value := getattr(self, name)) is not None:
                whole_number(value, name)
        if self.target_latency is not None and not seconds(self.target_latency, "target_latency"):
            raise ValueError(f"target_latency must be above 0, not {self.target_latency!r}")
        if self.linger == AUTO:
            if self.target_latency is None:
                raise ValueError(
                    'linger = "auto" needs a target_latency: how soon results should be there'
                )
        elif isinstance(self.linger, str):
            text = f'linger must be a number of seconds, a timedelta or "auto", not {self.linger!r}'
            raise ValueError(text)
        else:
            seconds(self.linger, "linger")

    def _set_fields(self, fields: Mapping[str, Any]) -> None:
        for name, value in fields.items():
            if is_method(type(self), name):
                raise TypeError(f"{name} is a method of {type(self).__name__}: override it instead")
            setattr(self, name, value)

    def _policy(self) -> RetryPolicy | None:
        """None where nothing is tried again: it need not be asked about each failure."""
        return None if self.max_attempts == 1 else self._retry_policy()

    def _retry_policy(self) -> RetryPolicy:
        return RetryPolicy(
            max_attempts=self.max_attempts,
            retry_delay=self.retry_delay,
            max_retry_delay=self.max_retry_delay,
            retry_on=self.retry_on,
            give_up_on=self.give_up_on,
        )


def _is_positive(number: Any) -> bool:
    return isinstance(number, int | float) and number > 0
