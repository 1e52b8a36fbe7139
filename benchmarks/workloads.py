"""What is measured: the questions, how much of each, and the floors that this package holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from system import DATABASE_PEERS, DATABASES, ON_DATABASE


@dataclass(frozen=True)
class Floor:
    """
    What must hold of our median.

    - of - it is a ratio to the median of the raw limit or of the best peer in the same run; "": an
      absolute value.
    - figure - where it is not that of the workload.
    """

    limit: float
    kind: Literal["at least", "at most"]
    of: Literal["raw", "best peer", ""] = "raw"
    figure: str = ""
    unit: str = ""

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.kind == "at least" else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.kind == "at least" else "≤"
        return f"{sign} {self.limit:g} {f'× {self.of}' if self.of else self.unit}".rstrip()


@dataclass(frozen=True)
class Workload:
    """
    - program - what the client process runs, see `programs`.
    - figure - the one of its figures that is the answer.
    - count - how many tasks.
    - repeats - within one process, because the fast ones need only milliseconds.
    - besides - other figures to be shown, and their units.
    - database - where the tasks are; "": in Redis.
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
    database: str = ""

    @property
    def measured(self) -> str:
        """By what its measurements are known: workloads may share them."""
        return f"{self.program} on {self.database}" if self.database else self.program

    @property
    def ours(self) -> str:
        return ON_DATABASE if self.database else "ours"

    @property
    def limit(self) -> str:
        """What ratios are to, in words."""
        return "best peer" if self.database else "raw"

    @property
    def limits(self) -> tuple[str, ...]:
        """The systems of which the best is that."""
        return DATABASE_PEERS if self.database else ("raw",)

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

_FIVE_TIMES = (Floor(5, "at least", "best peer"),)
_AS_FAST = (Floor(1, "at least", "best peer"),)
_AS_QUICK = Floor(1, "at most", "best peer")
_QUICK = Floor(10, "at most", "", "", "ms")


def _on(database: str) -> Iterator[Workload]:
    quick = (_AS_QUICK, _QUICK) if database == "postgresql" else (_AS_QUICK,)
    for number, title, program, figure, unit, count, repeats, floors in (
        (1, "enqueue one by one", "add_singly", "rate", "tasks/s", 3_000, 1, _AS_FAST),
        (2, "enqueue in bulk", "add_in_bulk", "rate", "tasks/s", 50_000, 3, _FIVE_TIMES),
        (3, "drain no-ops, no results", "drain", "rate", "tasks/s", 20_000, 3, _FIVE_TIMES),
        (4, "round trip, in bulk", "round_trip", "rate", "tasks/s", 20_000, 3, _FIVE_TIMES),
        (5, "one caller in a row, p50", "in_a_row", "p50_ms", "ms", 1_000, 1, quick),
    ):
        besides = (("p95_ms", "ms p95"),) if program == "in_a_row" else ()
        yield Workload(
            number, title, program, figure, unit, count, repeats, floors, besides, database
        )


DATABASE_WORKLOADS = tuple(workload for database in DATABASES for workload in _on(database))
