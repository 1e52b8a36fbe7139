"""
Breaks workers, connections and servers, and counts what was lost.

    python -m tests.faults [--full] [--seed N] [--json FILE] [NAME ...]

Exit code 1: a promise is broken; 2: nothing was run.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.families import NAMES, run_family
from tests.faults.report import Outcome, table, write_json
from tests.support.servers import redis_server


def main() -> int:
    arguments = _parser().parse_args()
    if not redis_server():
        print("no redis-server is installed: apt-get install redis-server", file=sys.stderr)
        return 2
    print(f"seed {arguments.seed}", flush=True)
    began, outcomes = time.monotonic(), list[Outcome]()
    for name in arguments.names or NAMES:
        outcome = run_family(name, arguments.seed, full=arguments.full)
        outcomes.append(outcome)
        print(f"\n{table(outcome)}", flush=True)
    if arguments.json:
        write_json(arguments.json, _about(arguments, time.monotonic() - began), outcomes)
    broken = [outcome.family for outcome in outcomes if not outcome.kept]
    print(f"\nbroken promises: {', '.join(broken) or 'none'} (seed {arguments.seed})")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Breaks workers, connections and servers, and counts what was lost.",
    )
    any_seed = random.SystemRandom().randrange(10**6)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME")
    parser.add_argument("--full", action="store_true", help="the figures of the documentation")
    parser.add_argument("--seed", type=int, default=any_seed, help="of all random choices")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    return parser


def _about(arguments: argparse.Namespace, seconds: float) -> dict[str, object]:
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": arguments.seed,
        "scale": "full" if arguments.full else "short",
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    sys.exit(main())
