"""Every family of faults by its name, in the order in which they run."""

from __future__ import annotations

import importlib
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.faults.context import Context
from tests.faults.report import Figure, Outcome

NAMES = (
    "kills",
    "zombies",
    "restarts",
    "pills",
    "stuck",
    "outages",
    "replies",
    "memory",
    "mutations",
    "clocks",
    "volume",
    "kills-sqlite",
    "kills-postgres",
    "zombies-sqlite",
    "zombies-postgres",
    "races-sqlite",
    "races-postgres",
    "crowds-sqlite",
    "crashes-postgres",
)
"""A module of this folder, and where the tasks are unless that is Redis."""


def run_family(name: str, seed: int, *, full: bool) -> Outcome:
    """A family that raises is a broken promise like any other."""
    began, figures, error = time.monotonic(), list[Figure](), ""
    with tempfile.TemporaryDirectory(prefix=f"faults-{name}-") as folder:
        try:
            figures = list(_run(name, seed, Path(folder), full=full))
        except Exception:
            error = traceback.format_exc()
    return Outcome(name, time.monotonic() - began, figures, error)


def _run(name: str, seed: int, folder: Path, *, full: bool) -> Sequence[Figure]:
    module, _, kind = name.partition("-")
    family = importlib.import_module(f"tests.faults.{module}")
    context = Context(seed, name, kind or "redis", folder, full=full)
    figures: Sequence[Figure] = family.run(context)
    return figures
