"""From measurements to medians, ratios and floors: as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from measuring import Measurement
from tests.faults.report import Outcome
from workloads import Floor, Workload


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, and the least and the greatest of them."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.least)}–{shown(self.greatest)})"


@dataclass(frozen=True)
class Verdict:
    """A floor beside what was measured; `value` None: it was not."""

    workload: Workload
    floor: Floor
    value: float | None

    @property
    def held(self) -> bool:
        return self.value is not None and self.floor.holds(self.value)

    def __str__(self) -> str:
        value = "not measured" if self.value is None else shown(self.value)
        where = f"{self.workload.number}{_where(self.workload)}"
        return f"workload {where}: {value}, promised {self.floor}"


@dataclass
class Results:
    """
    All measurements of a run.

    - rounds - by what is measured and system, in the order of time.
    - volumes - of the workloads that are measured once, of this package alone.
    """

    rounds: dict[str, dict[str, list[Measurement]]] = field(default_factory=dict)
    volumes: Sequence[Outcome] = ()

    def add(self, workload: Workload, system: str, measurement: Measurement) -> None:
        self.rounds.setdefault(workload.measured, {}).setdefault(system, []).append(measurement)

    def spread(self, workload: Workload, system: str, figure: str = "") -> Spread | None:
        figure = figure or workload.figure
        measurements = self.rounds.get(workload.measured, {}).get(system, ())
        values = [each.figures[figure] for each in measurements if figure in each.figures]
        return Spread.of(values) if values else None

    def ratio(self, workload: Workload, system: str, figure: str = "") -> float | None:
        """Of the medians, to that of the raw limit or of the best peer."""
        mine = self.spread(workload, system, figure)
        spreads = (self.spread(workload, limit, figure) for limit in workload.limits)
        medians = [spread.median for spread in spreads if spread]
        if mine is None or not medians:
            return None
        best = max if (figure or workload.figure) == "rate" else min
        return mine.median / best(medians)

    def verdicts(self, workloads: Sequence[Workload]) -> list[Verdict]:
        return [
            Verdict(workload, floor, self._value(workload, floor))
            for workload in workloads
            for floor in workload.floors
        ]

    def _value(self, workload: Workload, floor: Floor) -> float | None:
        if floor.of:
            return self.ratio(workload, workload.ours, floor.figure)
        mine = self.spread(workload, workload.ours, floor.figure)
        return mine.median if mine else None

    def broken(self, workloads: Sequence[Workload]) -> list[str]:
        """The floors that do not hold, in words. Ratios need both, this package and the limit."""
        systems = {system for systems in self.rounds.values() for system in systems}
        judged = [
            workload
            for workload in workloads
            if workload.ours in systems and not systems.isdisjoint(workload.limits)
        ]
        verdicts = [str(verdict) for verdict in self.verdicts(judged) if not verdict.held]
        return verdicts + [
            f"workload {outcome.family}: {figure}, promised {figure.promise}"
            for outcome in self.volumes
            for figure in outcome.figures
            if not figure.kept
        ]

    def errors(self) -> list[str]:
        """Each once, however many rounds it spoiled."""
        volumes = [f"ours, {each.family}: {each.error}" for each in self.volumes if each.error]
        found = [
            f"{system}, {measured}: {measurement.error}"
            for measured, systems in self.rounds.items()
            for system, measurements in systems.items()
            for measurement in measurements
            if measurement.error
        ]
        return list(dict.fromkeys(volumes + found))

    def as_json(self, workloads: Sequence[Workload]) -> dict[str, Any]:
        return {
            "systems": self._systems(),
            "workloads": [_as_json(self, workload) for workload in workloads],
            "volumes": [asdict(outcome) for outcome in self.volumes],
        }

    def _systems(self) -> dict[str, dict[str, Any]]:
        """The versions and settings that the client processes told."""
        return {
            system: {"versions": measurement.versions, "settings": measurement.settings}
            for systems in self.rounds.values()
            for system, measurements in systems.items()
            for measurement in measurements
            if measurement.versions
        }


def table(results: Results, workload: Workload) -> str:
    title = f"\n{workload.number}. {workload.title}, {workload.unit}{_where(workload)}"
    systems = results.rounds[workload.measured]
    return "\n".join([title, *(_line(results, workload, system) for system in systems)])


def _line(results: Results, workload: Workload, system: str) -> str:
    spread = results.spread(workload, system)
    if spread is None:
        return f"   {system:<20} failed, see below"
    ratio = results.ratio(workload, system)
    compared = "" if ratio is None or system == "raw" else f", {ratio:.3g} × {workload.limit}"
    return f"   {system:<20} {spread}{compared}{_besides(results, workload, system)}"


def _besides(results: Results, workload: Workload, system: str) -> str:
    spreads = (
        (results.spread(workload, system, figure), unit) for figure, unit in workload.besides
    )
    return "".join(f", {shown(spread.median)} {unit}" for spread, unit in spreads if spread)


def _as_json(results: Results, workload: Workload) -> dict[str, Any]:
    systems = results.rounds[workload.measured]
    return {
        "number": workload.number,
        "title": workload.title,
        "figure": workload.figure,
        "unit": workload.unit,
        "database": workload.database,
        "floors": [
            {"promise": str(verdict.floor), "value": verdict.value, "held": verdict.held}
            for verdict in results.verdicts([workload])
        ],
        "systems": {system: _system_as_json(results, workload, system) for system in systems},
    }


def _system_as_json(results: Results, workload: Workload, system: str) -> dict[str, Any]:
    measurements = results.rounds[workload.measured][system]
    spread = results.spread(workload, system)
    return {
        **(asdict(spread) if spread else {}),
        f"ratio_to_{workload.limit.replace(' ', '_')}": results.ratio(workload, system),
        "besides": {
            unit: beside.median
            for figure, unit in workload.besides
            if (beside := results.spread(workload, system, figure))
        },
        "rounds": [measurement.figures for measurement in measurements],
        "errors": [measurement.error for measurement in measurements if measurement.error],
    }


def _where(workload: Workload) -> str:
    return f", on {workload.database}" if workload.database else ""


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
