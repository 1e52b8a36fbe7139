"""Runs what the pages show, in processes of their own that always end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.docs import ROOT
from tests.support.waiting import wait_until

PATIENCE = 25


def environment(**variables: str) -> dict[str, str]:
    """That of this process, but for Django's settings; this checkout is what is imported."""
    kept = {name: text for name, text in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}


def runnable(command: Sequence[str]) -> list[str]:
    """With the Python that runs the tests in the place of `python`, and its Django."""
    programs = {"python": [sys.executable], "django-admin": [sys.executable, "-m", "django"]}
    return [real for word in command for real in programs.get(word, [word])]


def run(command: Sequence[str], folder: Path, **variables: str) -> str:
    """What it prints; an `AssertionError` with all of its output when it fails."""
    ended = subprocess.run(
        runnable(command),
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, f"{command} failed:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


class Running:
    """A process beside the test; its output goes to a file."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._log = folder / f"process-{len(list(folder.glob('process-*')))}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                runnable(command), cwd=folder, env=environment(), stdout=log, stderr=log
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait_for_output(self, text: str) -> None:
        wait_until(lambda: text in self.output or self._process.poll() is not None, PATIENCE)
        assert text in self.output, self.output

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Asks it to stop and returns its exit code."""
        self._process.send_signal(number)
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[Running]:
    process = Running(command, folder)
    try:
        yield process
    finally:
        process.kill()
