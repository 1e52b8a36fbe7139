"""What the page says of a run on databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from markdown import about_run, about_systems, besides, promises, spread, table
from system import DATABASES, ON_DATABASE

RATIO = "ratio_to_best_peer"


def database_sections(run: dict[str, Any]) -> Iterator[str]:
    yield about_run(run, *(f"{name} {said}" for name, said in run["databases"].items()))
    for name, database in zip(run["databases"], DATABASES, strict=True):
        compared = [each for each in run["workloads"] if each["database"] == database]
        peers = [
            system
            for system in run["systems"]
            if system != ON_DATABASE and any(system in each["systems"] for each in compared)
        ]
        yield f"### On {name}\n"
        head = ["workload", "this package", *peers, "to the best of them", "floor"]
        yield table(head, (row(each, peers) for each in compared))
    yield "### Their versions and settings\n"
    yield "".join(f"- {line}\n" for line in about_systems(run["systems"]))


def row(workload: dict[str, Any], peers: list[str]) -> list[str]:
    figures = [workload["systems"].get(name, {}) for name in (ON_DATABASE, *peers)]
    ratio = figures[0].get(RATIO)
    return [
        f"{workload['number']}. {workload['title']}, {workload['unit']}",
        *(f"{spread(each)}{besides(each)}" for each in figures),
        "" if ratio is None else f"{ratio:.2g} ×",
        promises(workload),
    ]
