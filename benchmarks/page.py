"""
Writes the figures of a run into docs/explanation/benchmarks.md, between its two marks.

    python benchmarks/page.py [build/bench.json]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(1, str(ROOT))

from report import shown

PAGE = ROOT / "docs" / "explanation" / "benchmarks.md"
RUN = ROOT / "build" / "bench.json"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def main(run: Path = RUN, page: Path = PAGE) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    text = "\n".join(sections(json.loads(run.read_text())))
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def sections(run: dict[str, Any]) -> Iterator[str]:
    compared = [each for each in run["workloads"] if "raw" in each["systems"]]
    yield about(run)
    yield table(["workload", "raw", "this package", "to raw", "floor"], map(own_row, compared))
    yield "### Beside other queues\n"
    head = ["", *(f"{each['number']}. {each['title']}, {each['unit']}" for each in compared)]
    yield table(head, (system_row(name, compared) for name in run["systems"]))
    for workload in run["workloads"]:
        if workload not in compared:
            yield f"### {workload['title']}\n"
            yield table(["", workload["unit"], "besides"], way_rows(workload))
    yield "### Very many\n"
    yield table(["", "", "promise"], volume_rows(run["volumes"]))
    yield "### Versions and settings\n"
    yield "".join(f"- {line}\n" for line in about_systems(run["systems"]))


def about(run: dict[str, Any]) -> str:
    load = f"load {run['load_before'][0]:.1f} before and {run['load_after'][0]:.1f} after"
    machine = f"Python {run['python']}, Redis {run['redis']}, {run['cores']} cores, {load}"
    return (
        f"{run['made_at'][:10]}, {machine}; medians of {run['rounds']} rounds (least–greatest).\n"
    )


def own_row(workload: dict[str, Any]) -> list[str]:
    raw, ours = (workload["systems"].get(name, {}) for name in ("raw", "ours"))
    ratio = ours.get("ratio_to_raw")
    floors = (
        f"{each['promise']}{'' if each['held'] else ' (missed)'}" for each in workload["floors"]
    )
    return [
        f"{workload['number']}. {workload['title']}, {workload['unit']}",
        spread(raw),
        spread(ours) + besides(ours),
        "" if ratio is None else f"{ratio:.2f} ×",
        ", ".join(floors),
    ]


def system_row(name: str, workloads: Sequence[dict[str, Any]]) -> list[str]:
    return [name, *(median(workload["systems"].get(name, {})) for workload in workloads)]


def way_rows(workload: dict[str, Any]) -> Iterator[list[str]]:
    for name, system in workload["systems"].items():
        yield [name, spread(system), besides(system).removeprefix(", ")]


def volume_rows(volumes: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    for figure in (figure for volume in volumes for figure in volume["figures"]):
        value = f"{shown(figure['value'])} {figure['unit']}".rstrip()
        yield [figure["name"], value, figure["promise"] + missed(figure["kept"])]


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


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
