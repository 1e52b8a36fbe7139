"""The process above one that runs with Django's reloader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.apps import apps
from django.utils.autoreload import DJANGO_AUTORELOAD_ENV, StatReloader, get_child_arguments

RELOAD_GRACE = 10.0
"""Seconds that a batch may take to end before the reloader ends it."""

CODE_CHANGED = 3
"""Exit code of a child whose reloader saw a change."""


def is_reloaded() -> bool:
    """Whether this is the process that works; the one above it only starts it."""
    return os.environ.get(DJANGO_AUTORELOAD_ENV) == "true"


def run_reloaded(complain: Callable[[str], None]) -> int:
    """
    Runs this command line again and again, in a child whose reloader ends it when the code
    changes. Code that cannot be loaded ends the child before it has a reloader: then the next
    change is waited for here. Returns the exit code of a child that was told to end.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return _run_children(complain)
    except KeyboardInterrupt:
        return 0


def _run_children(complain: Callable[[str], None]) -> int:
    while True:
        before = _snapshot()
        code = _run_child()
        if code <= 0:
            return code
        if code != CODE_CHANGED:
            complain("The worker did not start: waiting for the code to change.")
            _wait_for_change(before)


def _run_child() -> int:
    environment = {**os.environ, DJANGO_AUTORELOAD_ENV: "true"}
    child = subprocess.Popen(get_child_arguments(), env=environment, close_fds=False)
    try:
        return child.wait()
    except SystemExit:
        child.terminate()
        raise
    finally:  # of Ctrl-C the terminal told the child too
        _see_off(child)


def _see_off(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(RELOAD_GRACE + 1)
    except subprocess.TimeoutExpired:
        child.kill()


def _snapshot() -> dict[Path, float]:
    """When each file was saved: what this process imported, and all of the apps."""
    watching = StatReloader()
    for app in apps.get_app_configs():
        watching.watch_dir(app.path, "**/*.py")
    return dict(watching.snapshot_files())


def _wait_for_change(before: dict[Path, float]) -> None:
    while _snapshot() == before:
        time.sleep(StatReloader.SLEEP_TIME)
