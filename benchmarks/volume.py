"""
What very many tasks and waiters cost: the figures of the faults, held to the floors of speed.

They are measured once, in this process, and of this package alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tests.faults import volume
from tests.faults.report import Figure, Outcome, at_most
from tests.support.servers import RedisServer

FLOORS = {
    "bytes a queued task": 180,
    "the latter to the former": 1.2,
    "connections of them all": 3,
    "connections of all coroutines": 3,
}


MEASURES: dict[int, tuple[str, Callable[[RedisServer, int], list[Figure]], int]] = {
    8: ("queued tasks", volume.many_tasks, 1_000_000),
    9: ("waiting threads", volume.many_threads, 1_000),
    11: ("waiting coroutines", volume.many_coroutines, 10_000),
}
"""By the number of the workload: its title, what measures it, how many."""


def measure(number: int, server: RedisServer, scale: float) -> Outcome:
    """Never raises because of what is measured."""
    title, measured, count = MEASURES[number]
    began, figures, error = time.monotonic(), list[Figure](), ""
    try:
        figures = [_held(figure) for figure in measured(server, round(scale * count))]
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    return Outcome(f"{number}. {title}", time.monotonic() - began, figures, error)


def _held(figure: Figure) -> Figure:
    if figure.name not in FLOORS:
        return figure
    return replace(at_most(figure.name, float(figure.value), FLOORS[figure.name]), unit=figure.unit)
