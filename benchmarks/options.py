"""What the command line of the benchmarks says."""

from __future__ import annotations

import argparse
from pathlib import Path

from system import OWN, SYSTEMS
from workloads import VOLUMES, WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = (*(workload.number for workload in WORKLOADS), *VOLUMES)
QUICK = (1, 2, 3, 4, 5, 6, 7)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="This package, the raw limit and other queues.")
    add = parser.add_argument
    add("--only", type=_systems, default=[], metavar="ours,raw", help="these systems")
    add("--workload", type=_numbers, default=[], metavar="4,7", help="these workloads, by number")
    add("--rounds", type=int, metavar="N", help="measurements of each (5)")
    add("--quick", action="store_true", help="ours and raw only, half of the tasks: a minute")
    add("--scale", type=float, metavar="X", help="so many times the tasks (1, quick: 0.5)")
    add("--check", action="store_true", help="exit code 1 when a floor does not hold")
    add("--json", type=Path, default=ROOT / "build/bench.json", metavar="FILE")
    return _with_defaults(parser.parse_args())


def _with_defaults(options: argparse.Namespace) -> argparse.Namespace:
    options.only = options.only or (list(OWN) if options.quick else list(SYSTEMS))
    options.rounds = options.rounds or 5
    options.scale = options.scale or (0.5 if options.quick else 1.0)
    wanted = options.workload or (QUICK if options.quick else NUMBERS)
    options.workloads = [
        workload.scaled(options.scale) for workload in WORKLOADS if workload.number in wanted
    ]
    options.volumes = [number for number in VOLUMES if number in wanted]
    return options


def _systems(text: str) -> list[str]:
    return _chosen(text.split(","), list(SYSTEMS))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _chosen(text.split(","), list(map(str, NUMBERS)))]


def _chosen(words: list[str], known: list[str]) -> list[str]:
    if unknown := [word for word in words if word not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return words
