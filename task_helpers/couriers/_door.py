"""Whether a queue takes more tasks: a bound in tasks, and one in seconds of its workers' time."""

from __future__ import annotations

from typing import NamedTuple

from task_helpers.couriers.options import CourierOptions
from task_helpers.durations import seconds
from task_helpers.exceptions import QueueFull

SHORTEST_RETRY, USUAL_RETRY, LONGEST_RETRY = 1.0, 5.0, 60.0
"""Seconds after which to come back: at least, where no rate is known, and at the most."""


class Pace(NamedTuple):
    """
    What is known of a queue.

    - rate - the drain rate, tasks a second; None where there is no backlog, or none was measured.
    - length - unfinished tasks.
    - delayed - those among them that wait for their time: a new task does not wait for these.
    """

    rate: float | None = None
    length: int = 0
    delayed: int = 0


class Door:
    """
    The bounds of a courier's queues.

    - bounded - False: it takes any number.
    - later - of tasks that are not for now. They do not wait in line: only the length counts.
    """

    def __init__(self, options: CourierOptions) -> None:
        self._length = options.max_queue_length
        longest = options.max_queue_seconds
        self._seconds = None if longest is None else seconds(longest, "max_queue_seconds")
        self.bounded = self._length is not None or self._seconds is not None

    def asks_pace(self, later: bool) -> bool:
        """Whether the limit depends on the pace."""
        return self._seconds is not None and not later

    def limit(self, pace: Pace, later: bool) -> int | None:
        """Most unfinished tasks; None: any number. Without a rate the seconds mean nothing."""
        bounds = (self._length, self._by_time(pace, later))
        return min((bound for bound in bounds if bound is not None), default=None)

    def refusal(self, count: int, pace: Pace, later: bool) -> QueueFull:
        """For so many tasks that were refused."""
        limit = self.limit(pace, later) or 0
        if limit == self._by_time(pace, later):
            what = "the tasks in the queue take its workers more than max_queue_seconds"
        else:
            what = "the queue holds max_queue_length tasks"
        return QueueFull(
            f"{what}: add later, or start more workers",
            retry_after=_retry_after(max(pace.length, limit) + count - limit, pace.rate),
        )

    def _by_time(self, pace: Pace, later: bool) -> int | None:
        if self._seconds is None or pace.rate is None or later:
            return None
        return pace.delayed + max(1, int(pace.rate * self._seconds))


def _retry_after(excess: int, rate: float | None) -> float:
    if not rate:
        return USUAL_RETRY
    return min(LONGEST_RETRY, max(SHORTEST_RETRY, excess / rate))
