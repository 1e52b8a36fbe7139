"""When a failed task is performed again. Pure: error and attempts in, a delay or None out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from task_helpers.durations import Duration, seconds

ErrorTypes = tuple[type[Exception], ...]


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """
    - max_attempts - how often a task is performed at the most; 1: never again.
    - retry_delay - about how long after the first failure, doubled after each further one.
    - max_retry_delay - the longest of these.
    - retry_on - only errors of these types are tried again.
    - give_up_on - errors of these types are not, though `retry_on` has them.
    """

    max_attempts: int = 1
    retry_delay: Duration = 1
    max_retry_delay: Duration = 600
    retry_on: ErrorTypes = (Exception,)
    give_up_on: ErrorTypes = ()

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int) or not 1 <= self.max_attempts <= 65_535:
            raise ValueError(f"max_attempts must be from 1 to 65535, not {self.max_attempts!r}")
        seconds(self.retry_delay, "retry_delay")
        seconds(self.max_retry_delay, "max_retry_delay")
        for name in ("retry_on", "give_up_on"):
            object.__setattr__(self, name, _error_types(getattr(self, name), name))

    def delay_after(self, error: Exception, attempts: int) -> float | None:
        """
        Seconds until the next attempt; None when there is none.

        Between half and all of the doubled delay, at random: tasks that failed together, because
        something they share was away, do not come back together.
        """
        if attempts >= self.max_attempts or isinstance(error, self.give_up_on):
            return None
        if not isinstance(error, self.retry_on):
            return None
        longest = seconds(self.max_retry_delay, "max_retry_delay")
        doubled = seconds(self.retry_delay, "retry_delay") * 2.0 ** min(attempts - 1, 40)
        return min(longest, doubled) * random.uniform(0.5, 1)


def _error_types(given: Any, name: str) -> ErrorTypes:
    """As `isinstance` takes them. `ValueError` for what is no type of errors."""
    types = given if isinstance(given, (tuple, list)) else (given,)
    if all(isinstance(kind, type) and issubclass(kind, Exception) for kind in types):
        return tuple(types)
    raise ValueError(f"{name} must be types of errors such as (ConnectionError,), not {given!r}")
