"""Starts the processes of one measurement, and ends them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client import Job
from programs import WITHOUT_WORKER
from system import OURS
from workloads import Workload

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PATIENCE = 180.0
"""Seconds that one measurement may take."""


@dataclass(frozen=True)
class Place:
    """The store that is measured: its address and, of a Redis, its process id."""

    url: str
    pid: int = 0


@dataclass(frozen=True)
class Measurement:
    """What one client process found; `error` where it came to no end."""

    figures: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    settings: str = ""
    error: str = ""


def measure(name: str, python: Path, place: Place, workload: Workload) -> Measurement:
    """One round of one system. Never raises because of what is measured."""
    program = workload.program
    with tempfile.TemporaryDirectory(prefix="bench-") as text:
        folder = Path(text)
        ledger = str(folder / "ledger")
        with _worker(name, python, program, place.url, ledger, folder / "worker.log") as pid:
            job = Job(
                system=name,
                program=program,
                url=place.url,
                ledger=ledger,
                count=workload.count,
                repeats=workload.repeats,
                redis=place.pid,
                worker=pid,
            )
            return _run_client(python, job, folder)


def _run_client(python: Path, job: Job, folder: Path) -> Measurement:
    try:
        ended = subprocess.run(
            [python, "-m", "client", job.to_json()],
            cwd=HERE,
            env=environment(job.system),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return Measurement(error=f"no end after {PATIENCE:.0f} s{_last_line(folder)}")
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        return Measurement(error=f"{said[-1]}{_last_line(folder)}")
    return Measurement(**json.loads(ended.stdout.splitlines()[-1]))


def _last_line(folder: Path) -> str:
    """What the worker said last, if anything: it may be the cause."""
    log = folder / "worker.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f" (worker: {lines[-1][:200]})" if lines else ""


@contextmanager
def _worker(
    name: str, python: Path, program: str, url: str, ledger: str, log: Path
) -> Iterator[int]:
    """Its process id, or 0 when the program needs none. Killed at the end, with its children."""
    if program in WITHOUT_WORKER:
        yield 0
        return
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "worker", name, url, ledger, program],
            cwd=HERE,
            env=environment(name),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def environment(name: str) -> dict[str, str]:
    """Only this package is taken from the checkout: an older one of the same name is a peer."""
    variables = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
    return variables | {"PYTHONPATH": str(ROOT)} if name in OURS else variables
