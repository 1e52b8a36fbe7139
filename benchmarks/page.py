"""
Writes the figures of a run into docs/explanation/benchmarks.md, between two marks of that page.

    python benchmarks/page.py [build/bench.json | build/bench-database.json]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(1, str(ROOT))

from database_page import database_sections
from markdown import about_run, about_systems, besides, median, missed, promises, spread, table
from report import shown

PAGE = ROOT / "docs" / "explanation" / "benchmarks.md"
RUN = ROOT / "build" / "bench.json"
BEGIN, END = "<!-- {} -->\n", "<!-- end of {} -->\n"


def main(file: Path = RUN, page: Path = PAGE) -> None:
    run = json.loads(file.read_text())
    if "databases" in run:
        write(page, "figures of databases", database_sections(run))
    else:
        write(page, "figures", sections(run))


def write(page: Path, name: str, parts: Iterable[str]) -> None:
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    text = "\n".join(parts)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def sections(run: dict[str, Any]) -> Iterator[str]:
    compared = [each for each in run["workloads"] if "raw" in each["systems"]]
    yield about_run(run, f"Redis {run['redis']}")
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


def own_row(workload: dict[str, Any]) -> list[str]:
    raw, ours = (workload["systems"].get(name, {}) for name in ("raw", "ours"))
    ratio = ours.get("ratio_to_raw")
    return [
        f"{workload['number']}. {workload['title']}, {workload['unit']}",
        spread(raw),
        spread(ours) + besides(ours),
        "" if ratio is None else f"{ratio:.2f} ×",
        promises(workload),
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


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
