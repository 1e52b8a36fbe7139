"""What the command line of the benchmarks says."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from system import DATABASE_SYSTEMS, ON_DATABASE, OWN, SYSTEMS
from workloads import DATABASE_WORKLOADS, VOLUMES, WORKLOADS, Workload

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Suite:
    """
    What one command measures.

    - own - the systems of --quick, without the others.
    - quick - the workloads of --quick, by number.
    - json - where the figures go.
    """

    about: str
    systems: tuple[str, ...]
    own: tuple[str, ...]
    workloads: tuple[Workload, ...]
    quick: tuple[int, ...]
    json: Path
    volumes: tuple[int, ...] = ()

    @property
    def numbers(self) -> list[int]:
        return [*dict.fromkeys(workload.number for workload in self.workloads), *self.volumes]


REDIS = Suite(
    "This package, the raw limit and other queues.",
    SYSTEMS, OWN, WORKLOADS, (1, 2, 3, 4, 5, 6, 7), ROOT / "build/bench.json", VOLUMES,
)  # fmt: skip
DATABASE = Suite(
    "This package and other queues that keep tasks in the project's own database.",
    DATABASE_SYSTEMS, (ON_DATABASE,), DATABASE_WORKLOADS, (1, 2, 3, 4, 5),
    ROOT / "build/bench-database.json",
)  # fmt: skip


def parsed(suite: Suite) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=suite.about)
    add, own = parser.add_argument, ",".join(suite.own)
    some = ",".join(map(str, suite.quick[3:5]))
    add("--only", type=_list_of(suite.systems), default=[], metavar=own, help="these systems")
    add("--workload", type=_list_of(suite.numbers), default=[], metavar=some, help="by number")
    add("--rounds", type=int, metavar="N", help="measurements of each (5)")
    add("--quick", action="store_true", help=f"{own} only, half of the tasks: a minute")
    add("--scale", type=float, metavar="X", help="so many times the tasks (1, quick: 0.5)")
    add("--check", action="store_true", help="exit code 1 when a floor does not hold")
    add("--json", type=Path, default=suite.json, metavar="FILE")
    return _with_defaults(suite, parser.parse_args())


def _with_defaults(suite: Suite, options: argparse.Namespace) -> argparse.Namespace:
    options.only = options.only or list(suite.own if options.quick else suite.systems)
    options.rounds = options.rounds or 5
    options.scale = options.scale or (0.5 if options.quick else 1.0)
    wanted = options.workload or (suite.quick if options.quick else suite.numbers)
    options.workloads = [
        workload.scaled(options.scale) for workload in suite.workloads if workload.number in wanted
    ]
    options.volumes = [number for number in suite.volumes if number in wanted]
    return options


def _list_of(known: Sequence[T]) -> Callable[[str], list[T]]:
    """Parses words of these, between commas."""
    by_text = {str(each): each for each in known}

    def chosen(text: str) -> list[T]:
        words = text.split(",")
        if unknown := [word for word in words if word not in by_text]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(by_text)}")
        return [by_text[word] for word in words]

    return chosen
