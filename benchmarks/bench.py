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
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(1, str(ROOT))

import volume
import website
from measuring import Measurement, Place, measure
from options import REDIS, parsed
from report import Results, table
from system import OURS
from tests.faults.report import Outcome
from tests.faults.report import table as outcome_table
from tests.support.servers import RedisServer, redis_server
from venvs import NotInstalled, interpreter
from workloads import Workload


def main() -> int:
    options = parsed(REDIS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all processes end with it
    if not redis_server():
        print("bench: no redis-server is installed: apt-get install redis-server", file=sys.stderr)
        return 2
    pythons = interpreters(options.only)
    began = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-redis-"))
        server = stack.enter_context(RedisServer(Path(folder)))
        about = environment(redis=redis_version(server))
        announce(about, f"Redis {about['redis']}")
        results = measure_all(options, pythons, server)
        results.volumes = measure_volumes(options, server)
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


def redis_version(server: RedisServer) -> str:
    with server.client() as client:
        return str(client.info("server")["redis_version"])


def environment(**stores: str) -> dict[str, Any]:
    """
    - stores - their versions, and what else is to be known of them, by name.
    """
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **stores,
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_before": os.getloadavg(),
    }


def announce(about: dict[str, Any], *stores: str) -> None:
    load = f"{about['cores']} cores, load {about['load_before'][0]:.1f}"
    print("; ".join([about["made_at"], f"Python {about['python']}", *stores, load]))
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
            if workload.measured not in results.rounds:
                ways = ways_to_do(workload, pythons, place)
                for name in [*ways] * options.rounds:
                    client.flushall()
                    results.add(workload, name, ways[name](workload))
            print(table(results, workload), flush=True)
    return results


def ways_to_do(
    workload: Workload, pythons: Mapping[str, Path], place: Place
) -> dict[str, Callable[[Workload], Measurement]]:
    if workload.program == "requests":
        return {way: partial(website.measure, way, place.url) for way in website.WAYS}
    return {name: partial(measure, name, python, place) for name, python in pythons.items()}


def measure_volumes(options: argparse.Namespace, server: RedisServer) -> list[Outcome]:
    """Of this package alone, once."""
    outcomes = []
    for number in options.volumes if "ours" in options.only else []:
        with server.client() as client:
            client.flushall()
        outcomes.append(volume.measure(number, server, options.scale))
        print(f"\n{outcome_table(outcomes[-1])}", flush=True)
    return outcomes


def conclude(options: argparse.Namespace, results: Results, about: dict[str, Any]) -> int:
    """Writes the JSON, prints what is not as it should be, and returns the exit code."""
    broken = results.broken(options.workloads)
    errors = results.errors()
    document = {
        **about,
        "rounds": options.rounds,
        "scale": options.scale,
        **results.as_json(options.workloads),
        "floors_not_held": broken,
        "errors": errors,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=2) + "\n")
    print("\n".join(["", f"floors not held: {len(broken) or 'none'}", *broken]))
    print("\n".join(["failed:", *errors] if errors else []))
    print(f"load {about['load_after'][0]:.1f}, {about['seconds']:.0f} s, written to {options.json}")
    own_failed = any(error.startswith(("raw", *OURS)) for error in errors)
    return 1 if own_failed or (options.check and broken) else 0


if __name__ == "__main__":
    sys.exit(main())
