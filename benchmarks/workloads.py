"""What is measured: the questions, how much of each, and the floors that this package holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Floor:
    """
    What must hold of our median.

    - of - "raw": it is a ratio to the raw limit's median of the same run; "": an absolute value.
    - figure - where it is not that of the workload.
    """

    limit: float
    kind: Literal["at least", "at most"]
    of: Literal["raw", ""] = "raw"
    figure: str = ""
    unit: str = ""

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.kind == "at least" else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.kind == "at least" else "≤"
        return f"{sign} {self.limit:g} {'× raw' if self.of else self.unit}".rstrip()


@dataclass(frozen=True)
class Workload:
    """
    - program - what the client process runs, see `programs`.
    - figure - the one of its figures that is the answer.
    - count - how many tasks.
    - repeats - within one process, because the fast ones need only milliseconds.
    - besides - other figures to be shown, and their units.
    """

    number: int
    title: str
    program: str
    figure: str
    unit: str
    count: int
    repeats: int
    floors: tuple[Floor, ...] = ()
    besides: tuple[tuple[str, str], ...] = ()

    def scaled(self, scale: float) -> Workload:
        return replace(self, count=round(self.count * scale))


WORKLOADS = (
    Workload(
        1, "enqueue one by one", "add_singly", "rate", "tasks/s", 5_000, 1,
        (Floor(0.85, "at least"),), (("cpu_s", "s of CPU"),),
    ),
    Workload(
        2, "enqueue in bulk", "add_in_bulk", "rate", "tasks/s", 100_000, 3,
        (Floor(0.33, "at least"),), (("cpu_s", "s of CPU"),),
    ),
    Workload(
        3, "drain no-ops, no results", "drain", "rate", "tasks/s", 20_000, 5,
        (Floor(0.25, "at least"),), (("cpu_s", "s of CPU"),),
    ),
    Workload(
        4, "round trip, in bulk", "round_trip", "rate", "tasks/s", 20_000, 5,
        (Floor(0.35, "at least"),),
    ),
    Workload(
        5, "one caller in a row, p50", "in_a_row", "p50_ms", "ms", 2_000, 1,
        (Floor(1.7, "at most"),), (("p95_ms", "ms p95"), ("cpu_s", "s of CPU")),
    ),
    Workload(
        6, "64 threads calling", "many_callers", "rate", "calls/s", 6_400, 1,
        (Floor(0.8, "at least"), Floor(4, "at most", "", "connections", "connections")),
        (("connections", "connections"), ("cpu_s", "s of CPU")),
    ),
    Workload(
        7, "CPU of 10,000 round trips, in bulk", "round_trip", "cpu_s", "s", 20_000, 5,
        (Floor(0.30, "at most", "", "", "s"), Floor(8, "at most", "", "redis_us", "µs of Redis")),
        (("redis_us", "µs of Redis"),),
    ),
    Workload(
        10, "500 concurrent requests to the example shop, p50", "requests", "p50_ms", "ms", 500, 1,
        besides=(("p95_ms", "ms p95"), ("inserts", "INSERTs")),
    ),
)  # fmt: skip

VOLUMES = (8, 9, 11)
"""Measured otherwise, see `volume`."""
