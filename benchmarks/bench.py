"""
Measures this package, the raw limit and other task queues in one interleaved run.

    python benchmarks/bench.py [--only ours,raw] [--workload 5] [--rounds 3] [--quick] [--check]

Exit code 1: with --check a floor does not hold; without it too when ours or raw failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(1, str(ROOT))

from measuring import Place, measure
from report import Results, as_json, table
from system import MODULES
from tests.support.servers import RedisServer, redis_server
from venvs import NotInstalled, interpreter
from workloads import WORKLOADS

OWN = ("raw", "ours")
"""Measured first: a run that is interrupted has at least these."""


def main() -> int:
    options = parse_arguments()
    if not redis_server():
        print("bench: no redis-server is installed: apt-get install redis-server", file=sys.stderr)
        return 2
    pythons = interpreters(options.only)
    began = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-redis-"))
        server = stack.enter_context(RedisServer(Path(folder)))
        about = environment(server)
        announce(about)
        results = measure_all(options, pythons, server)
    about |= {"load_after": os.getloadavg(), "seconds": round(time.monotonic() - began, 1)}
    return conclude(options, results, about)


def interpreters(names: Sequence[str]) -> dict[str, Path]:
    """By system; those that cannot be installed are told and left out."""
    pythons = {}
    for name in names:
        try:
            pythons[name] = interpreter(name)
        except NotInstalled as error:
            print(f"bench: {error}", file=sys.stderr)
    return pythons


def environment(server: RedisServer) -> dict[str, Any]:
    with server.client() as client:
        version = client.info("server")["redis_version"]
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "redis": version,
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_before": os.getloadavg(),
    }


def announce(about: dict[str, Any]) -> None:
    versions = f"Python {about['python']}, Redis {about['redis']}, {about['cores']} cores"
    print(f"{about['made_at']}, {versions}, load {about['load_before'][0]:.1f}")
    print("Median (least-greatest) of the rounds. Other work on the machine moves the figures,")
    print("the ratios much less: all systems are measured in turn.", flush=True)


def measure_all(
    options: argparse.Namespace, pythons: Mapping[str, Path], server: RedisServer
) -> Results:
    """All systems in turn, round by round, so that all of them meet the same disturbances."""
    results = Results()
    with server.client() as client:
        place = Place(f"redis://127.0.0.1:{server.port}/0", client.info("server")["process_id"])
        for workload in options.workloads:
            if workload.program not in results.rounds:
                for name in [*pythons] * options.rounds:
                    client.flushall()
                    measurement = measure(name, pythons[name], workload, place)
                    results.add(workload.program, name, measurement)
            print(table(results, workload), flush=True)
    return results


def conclude(options: argparse.Namespace, results: Results, about: dict[str, Any]) -> int:
    """Writes the JSON, prints what is not as it should be, and returns the exit code."""
    broken = [verdict for verdict in results.verdicts(options.workloads) if not verdict.held]
    errors = results.errors()
    document = {
        **about,
        "rounds": options.rounds,
        "scale": options.scale,
        "systems": results.about_systems(),
        "workloads": [as_json(results, workload) for workload in options.workloads],
        "floors_not_held": [str(verdict) for verdict in broken],
        "errors": errors,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nfloors not held: {len(broken) or 'none'}")
    for line in [*map(str, broken), *errors]:
        print(f"  {line}")
    print(f"load {about['load_after'][0]:.1f}, {about['seconds']:.0f} s, written to {options.json}")
    own_failed = any(error.startswith(OWN) for error in errors)
    return 1 if own_failed or (options.check and broken) else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="This package, the raw limit and other queues.")
    add = parser.add_argument
    add("--only", type=_systems, default=[], metavar="ours,raw", help="these systems")
    add("--workload", type=_numbers, default=[], metavar="4,7", help="these workloads, by number")
    add("--rounds", type=int, metavar="N", help="measurements of each (5, quick: 3)")
    add("--quick", action="store_true", help="ours and raw only, fewer rounds and tasks: a minute")
    add("--scale", type=float, metavar="X", help="so many times the tasks (1, quick: 0.5)")
    add("--check", action="store_true", help="exit code 1 when a floor does not hold")
    add("--json", type=Path, default=ROOT / "build/bench.json", metavar="FILE")
    return with_defaults(parser.parse_args())


def with_defaults(options: argparse.Namespace) -> argparse.Namespace:
    options.only = options.only or (list(OWN) if options.quick else list(MODULES))
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.scale = options.scale or (0.5 if options.quick else 1.0)
    options.workloads = [
        workload.scaled(options.scale)
        for workload in WORKLOADS
        if workload.number in (options.workload or [workload.number])
    ]
    return options


def _systems(text: str) -> list[str]:
    return _chosen(text.split(","), list(MODULES))


def _numbers(text: str) -> list[int]:
    numbers = [str(workload.number) for workload in WORKLOADS]
    return [int(number) for number in _chosen(text.split(","), numbers)]


def _chosen(words: list[str], known: list[str]) -> list[str]:
    if unknown := [word for word in words if word not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return words


if __name__ == "__main__":
    sys.exit(main())
