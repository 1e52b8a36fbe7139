"""A virtualenv per peer, made when it is first needed: their requirements exclude each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "bench-venvs"

_NEEDS = re.compile(r"# Python 3\.(\d+) or newer")


class NotInstalled(Exception):
    """What went wrong, in one line."""


def interpreter(name: str) -> Path:
    """The Python that has this peer. This one for what needs nothing of its own."""
    requirements = HERE / "peers" / f"{name}.txt"
    if not requirements.exists():
        return Path(sys.executable)
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "installed"
    base = _base(name, requirements.read_text())
    wanted = f"{base} {sys.version}\n{requirements.read_text()}"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {name} into {folder} ...", file=sys.stderr, flush=True)
        _run(name, [base, "-m", "venv", "--clear", str(folder)])
        _run(name, [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
        stamp.write_text(wanted)
    return python


def _base(name: str, requirements: str) -> str:
    """This Python, or a newer one where the first line of the requirements asks for it."""
    needs = _NEEDS.match(requirements)
    if needs is None or sys.version_info >= (3, int(needs[1])):
        return sys.executable
    version = f"3.{needs[1]}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = sorted(map(str, pyenv.glob(f"versions/{version}.*/bin")))
    path = os.pathsep.join([*folders, *os.get_exec_path()])
    if python := shutil.which(f"python{version}", path=path):
        return python
    raise NotInstalled(f"{name} needs Python {version}, which was not found")


def _run(name: str, command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines() or ["no output"]
        raise NotInstalled(f"{name} could not be installed: {said[-1]}")
