"""
A worker whose host has a wrong clock: `python -m tests.faults.skewed SECONDS JOB`.

What Python programs read of the wall clock is off by so many seconds; the rest is `worker`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from tests.faults import worker


@contextmanager
def clock_off_by(seconds: float) -> Iterator[None]:
    """In this process."""
    whole, fine = time.time, time.time_ns

    def wrong() -> float:
        return whole() + seconds

    def finely_wrong() -> int:
        return fine() + int(seconds * 1e9)

    with mock.patch("time.time", wrong), mock.patch("time.time_ns", finely_wrong):
        yield


if __name__ == "__main__":
    with clock_off_by(float(sys.argv[1])):
        sys.exit(worker.main(sys.argv[2]))
