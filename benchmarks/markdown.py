"""The figures of a run in the words and tables of a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from report import shown


def about_run(run: dict[str, Any], *stores: str) -> str:
    load = f"load {run['load_before'][0]:.1f} before and {run['load_after'][0]:.1f} after"
    machine = ", ".join([f"Python {run['python']}", *stores, f"{run['cores']} cores", load])
    return (
        f"{run['made_at'][:10]}, {machine}; medians of {run['rounds']} rounds (least–greatest).\n"
    )


def promises(workload: dict[str, Any]) -> str:
    return ", ".join(f"{each['promise']}{missed(each['held'])}" for each in workload["floors"])


def about_systems(systems: dict[str, Any]) -> Iterator[str]:
    for name, system in systems.items():
        versions = ", ".join(f"{each} {number}" for each, number in system["versions"].items())
        yield f"**{name}** ({versions}): {system['settings']}"


def missed(held: bool) -> str:
    return "" if held else " (missed)"


def median(system: dict[str, Any]) -> str:
    return shown(system["median"]) + besides(system) if "median" in system else "–"


def spread(system: dict[str, Any]) -> str:
    if "median" not in system:
        return "–"
    least, greatest = shown(system["least"]), shown(system["greatest"])
    return f"{shown(system['median'])} ({least}–{greatest})"


def besides(system: dict[str, Any]) -> str:
    return "".join(f", {shown(value)} {unit}" for unit, value in system.get("besides", {}).items())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
