"""A virtualenv per peer, made when it is first needed: their requirements exclude each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "bench-venvs"


class NotInstalled(Exception):
    """What went wrong, in one line."""


def interpreter(name: str) -> Path:
    """The Python that has this peer. This one for what needs nothing of its own."""
    requirements = HERE / "peers" / f"{name}.txt"
    if not requirements.exists():
        return Path(sys.executable)
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = f"{sys.version}\n{requirements.read_text()}"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {name} into {folder} ...", file=sys.stderr, flush=True)
        _run(name, [sys.executable, "-m", "venv", "--clear", str(folder)])
        _run(name, [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
        stamp.write_text(wanted)
    return python


def _run(name: str, command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines() or ["no output"]
        raise NotInstalled(f"{name} could not be installed: {said[-1]}")
