"""Many concurrent requests to the example shop, by the demo: saved in bulk, or a row each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import PATIENCE, Measurement
from workloads import Workload

DEMO = Path(__file__).resolve().parent.parent / "scripts" / "demo.py"
WAYS = {
    "gunicorn": ("--server", "gunicorn"),
    "gunicorn, a row each": ("--server", "gunicorn", "--direct"),
    "uvicorn": ("--server", "uvicorn"),
    "uvicorn, a row each": ("--server", "uvicorn", "--direct"),
}


def measure(way: str, url: str, workload: Workload) -> Measurement:
    """One round of one of the ways. Never raises because of what is measured."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "figures.json"
        count = ("--requests", str(workload.count))
        ended = subprocess.run(
            [sys.executable, str(DEMO), *WAYS[way], *count, "--json", str(file)],
            env={**os.environ, "REDIS_URL": url, "DATABASE_URL": ""},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if ended.returncode:
            return Measurement(error=(ended.stderr.strip().splitlines() or ["it failed"])[0])
        figures = json.loads(file.read_text())
    milliseconds = {f"{name}_ms": 1000 * figures[name] for name in ("p50", "p95")}
    return Measurement(figures={**figures, **milliseconds})
