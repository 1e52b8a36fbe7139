"""Timeouts, delays and points in time as users write them, made numbers."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

Duration = float | timedelta
"""Seconds, or a timedelta."""

MAX_SECONDS = 100 * 365 * 24 * 3600.0


def seconds(value: Duration, name: str) -> float:
    """
    The duration in seconds; `ValueError` when it is no number, negative, not finite or over a
    century.

    - name - of the argument or option, for the message.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    elif not hasattr(value, "__float__"):  # a str has none: "5" is no number
        raise ValueError(f"{name} must be a number of seconds or a timedelta, not {value!r}")
    if not 0 <= (number := float(value)) <= MAX_SECONDS:
        raise ValueError(f"{name} must be between 0 and {MAX_SECONDS:.0f} seconds, not {value!r}")
    return number


def milliseconds(value: Duration, name: str) -> int:
    """As `seconds`, in whole milliseconds, rounded up: a delay is never shorter than asked."""
    return math.ceil(seconds(value, name) * 1000)


def timestamp_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime; `ValueError` for a naive one."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError(f"a point in time must be a datetime with a time zone, not {moment!r}")
    return math.ceil(moment.timestamp() * 1000)
