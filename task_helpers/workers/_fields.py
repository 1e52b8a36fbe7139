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
    - burst - True: stop when the queue is empty.
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

    def check_fields(self) -> None:
        """
        `ValueError` when a class field has a value that no worker can have, or a class defines by
        chance what is private here.
        """
        _check_names(type(self))
        if not self.queue_name:
            raise InvalidQueueName(f"set queue_name of {type(self).__name__}: it works on no queue")
        valid_queue_name(self.queue_name)
        self._check_filling()
        if not 1 <= (count := self.max_tasks_per_iteration) <= MAX_BATCH:
            raise ValueError(f"max_tasks_per_iteration must be from 1 to {MAX_BATCH}, not {count}")
        if self.max_tasks is not None and self.max_tasks < 1:
            raise ValueError(f"max_tasks must be above 0 or None, not {self.max_tasks}")
        if self.on_batch_error not in ON_BATCH_ERROR:
            known = ", ".join(map(repr, ON_BATCH_ERROR))
            raise ValueError(f"on_batch_error must be one of {known}, not {self.on_batch_error!r}")
        if self.max_batch_seconds is not None:
            seconds(self.max_batch_seconds, "max_batch_seconds")
        self._policy()

    def _check_filling(self) -> None:
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
            if callable(getattr(type(self), name, None)):
                raise TypeError(f"{name} is a method of {type(self).__name__}: override it instead")
            setattr(self, name, value)

    def _policy(self) -> RetryPolicy:
        return RetryPolicy(
            max_attempts=self.max_attempts,
            retry_delay=self.retry_delay,
            max_retry_delay=self.max_retry_delay,
            retry_on=self.retry_on,
            give_up_on=self.give_up_on,
        )


def _check_names(worker_class: type) -> None:
    """What replaces a part of the loop would fail far from where it is defined."""
    package = __name__.partition(".")[0]
    ours, theirs = set[str](), dict[str, str]()
    for kind in worker_class.__mro__:
        private = [name for name in vars(kind) if name[0] == "_" and name[:2] != "__"]
        if kind.__module__.partition(".")[0] == package:
            ours.update(private)
        else:
            theirs.update(dict.fromkeys(private, kind.__qualname__))
    for name in sorted(ours & theirs.keys()):
        raise ValueError(f"rename {name} of {theirs[name]}: workers use this name themselves")
