"""What a run of the faults has found: figures, each beside what is promised of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """
    - promise - what must hold of the value, in words; "" if nothing is promised.
    - kept - whether it holds.
    """

    name: str
    value: float | str
    unit: str
    promise: str
    kept: bool

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.value)} {self.unit}".rstrip()


def exactly(name: str, value: float, expected: float, unit: str = "") -> Figure:
    return Figure(name, value, unit, _shown(expected), value == expected)


def none(name: str, value: float, unit: str = "") -> Figure:
    return exactly(name, value, 0, unit)


def at_most(name: str, value: float, limit: float, unit: str = "") -> Figure:
    return Figure(name, value, unit, f"≤ {_shown(limit)}", value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "") -> Figure:
    return Figure(name, value, unit, f"≥ {_shown(limit)}", value >= limit)


def told(name: str, value: float | str, unit: str = "") -> Figure:
    """Measured, and nothing is promised of it."""
    return Figure(name, value, unit, "", True)


def percentile(values: Iterable[float], percent: float) -> float:
    """The nearest rank; `nan`, which keeps no promise, when there are no values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one family came to; `error` if it did not come to its end."""

    family: str
    seconds: float
    figures: Sequence[Figure]
    error: str = ""

    @property
    def kept(self) -> bool:
        return not self.error and all(figure.kept for figure in self.figures)


def table(outcome: Outcome) -> str:
    rows = [("figure", "value", "promise", "")]
    for figure in outcome.figures:
        value = f"{_shown(figure.value)} {figure.unit}".rstrip()
        rows.append((figure.name, value, figure.promise, "" if figure.kept else "BROKEN"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {promise:<{widths[2]}}  {mark}".rstrip()
        for name, value, promise, mark in rows
    ]
    title = f"{outcome.family} ({outcome.seconds:.0f} s)"
    return "\n".join([title, *lines, *([f"  FAILED: {outcome.error}"] if outcome.error else [])])


def write_json(path: Path, about: Mapping[str, Any], outcomes: Iterable[Outcome]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    families = [{**asdict(outcome), "kept": outcome.kept} for outcome in outcomes]
    path.write_text(json.dumps({**about, "families": families}, indent=2) + "\n")


def _shown(value: float | str) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return value if isinstance(value, str) else f"{value:,}"
