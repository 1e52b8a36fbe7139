"""
The client process: runs one program with one system and prints its figures as JSON.

    python -m client '{"system": "ours", "program": "round_trip", ...}'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from ledger import Ledger
from meter import Meter
from programs import PROGRAMS, WITHOUT_RESULTS, Run, check_executions
from system import system

MIN_COUNT = 64
"""A task for each of the callers."""


@dataclass(frozen=True)
class Job:
    """What a client process is told, see `Run`."""

    system: str
    program: str
    url: str
    ledger: str
    count: int
    repeats: int
    redis: int
    worker: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    measured = system(job.system)(job.url, job.program not in WITHOUT_RESULTS)
    ledger = Ledger(Path(job.ledger))
    count = max(MIN_COUNT, round(job.count * measured.share))
    repeats = job.repeats if measured.share == 1 else 1
    run = Run(measured, ledger, count, repeats, job.worker, job.redis, _meter_of(job))
    figures = PROGRAMS[job.program](run)
    check_executions(run)
    versions = {package: version(package) for package in measured.packages}
    print(json.dumps({"figures": figures, "versions": versions, "settings": measured.settings}))


def _meter_of(job: Job) -> Callable[[dict[str, int]], Meter]:
    """Those who need no Redis have no client of it."""
    if not job.redis:
        return Meter
    return partial(import_module("redis_meter").RedisMeter, url=job.url)


if __name__ == "__main__":
    main()
