"""
Measures this package on the project's own database beside others that keep their tasks there.

    python benchmarks/bench_database.py [--only ours_on_database] [--workload 5] [--quick] [--check]

Exit code 1: with --check a floor does not hold; without it too when this package failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack

from bench import announce, conclude, environment, interpreters
from databases import Databases
from measuring import Place, measure
from options import DATABASE, parsed
from report import Results, table


def main() -> int:
    options = parsed(DATABASE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all processes end with it
    pythons = interpreters(options.only)
    began = time.monotonic()
    with ExitStack() as stack:
        databases = Databases(stack, pythons)
        about = environment() | {"databases": databases.versions}
        announce(about, *(f"{name} {version}" for name, version in databases.versions.items()))
        results = measure_all(options, databases)
    about |= {"load_after": os.getloadavg(), "seconds": round(time.monotonic() - began, 1)}
    return conclude(options, results, about)


def measure_all(options: argparse.Namespace, databases: Databases) -> Results:
    """All systems in turn, round by round, so that all of them meet the same disturbances."""
    results = Results()
    for workload in options.workloads:
        for name in databases.systems(workload.database) * options.rounds:
            with databases.fresh(workload.database, name) as url:
                python = databases.pythons[name]
                results.add(workload, name, measure(name, python, Place(url), workload))
        print(table(results, workload), flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
