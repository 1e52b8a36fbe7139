"""A new Django project in a folder, and what is run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from tests.support.docs import ROOT
from tests.support.docs_processes import run

PACKAGES = ("task_helpers", "django_task_helpers")
BUILD_FILES = ("setup.cfg", "pyproject.toml", "LICENSE", "README.md")
INSTALL_SECONDS = 120


def in_project(program: str, site: Path) -> str:
    """What the program prints, with Django set up."""
    code = f"import django; django.setup()\n{program}"
    return run(["python", "-c", code], site, DJANGO_SETTINGS_MODULE="mysite.settings")


def copy_of_checkout(folder: Path) -> Path:
    """What `pip install .` needs, which leaves its products beside the sources."""
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.py[co]")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, folder)
    return folder


def run_in_shell(commands: Iterable[str], folder: Path) -> None:
    """
    Runs lines as a user types them, one after the other in one shell. What `pip` would fetch is
    that of the Python that runs the tests.
    """
    ended = subprocess.run(
        ["bash", "-ec", "\n".join(commands)],
        cwd=folder,
        env={
            **{name: text for name, text in os.environ.items() if name[:6] != "DJANGO"},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # as pip reads it: no isolation
        },
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
