"""
What very many tasks and waiters cost: the figures of the faults, held to the floors of speed.

They are measured once, in this process, and of this package alone.
"""

from __future__ import annotations

import time
from dataclasses import replace

from tests.faults import volume
from tests.faults.report import Figure, Outcome, at_most
from tests.support.servers import RedisServer

FLOORS = {
    "bytes a queued task": 180,
    "the latter to the former": 1.2,
    "connections of them all": 3,
}


def measure(number: int, server: RedisServer, scale: float) -> Outcome:
    """8: a million queued tasks; 9: a thousand waiting threads."""
    began = time.monotonic()
    if number == 8:
        title, figures = "queued tasks", volume.many_tasks(server, round(scale * 1_000_000))
    else:
        title, figures = "waiting threads", volume.many_waiters(server, round(scale * 1_000))
    seconds = time.monotonic() - began
    return Outcome(f"{number}. {title}", seconds, [_held(figure) for figure in figures])


def _held(figure: Figure) -> Figure:
    if figure.name not in FLOORS:
        return figure
    return replace(at_most(figure.name, float(figure.value), FLOORS[figure.name]), unit=figure.unit)
