"""How long a function may run."""

from __future__ import annotations

from typing import NamedTuple

from task_helpers.durations import Duration, seconds


class TimeLimits(NamedTuple):
    """
    In seconds, None: any time.

    - soft - after it the function is interrupted, and may clean up.
    - hard - after it the process ends, whatever the function does.
    """

    soft: float | None = None
    hard: float | None = None

    def or_else(self, other: TimeLimits) -> TimeLimits:
        """Each of these, or the other one where there is none."""
        return TimeLimits(
            other.soft if self.soft is None else self.soft,
            other.hard if self.hard is None else self.hard,
        )

    def __bool__(self) -> bool:
        return self != (None, None)


def time_limits(soft: Duration | None, hard: Duration | None) -> TimeLimits:
    """`ValueError` when one is no duration, or 0."""
    return TimeLimits(_limit(soft, "soft_time_limit"), _limit(hard, "time_limit"))


def _limit(value: Duration | None, name: str) -> float | None:
    if value is None:
        return None
    if not (limit := seconds(value, name)):
        raise ValueError(f"{name} must be above 0; None: any time")
    return limit
