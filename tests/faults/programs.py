"""Processes beside the suite that are no workers of a `Field`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.context import ROOT


class Program:
    """
    `python -m MODULE ARGUMENTS`, killed in the end if it runs then.

    - log - what it writes to stdout and stderr.
    """

    def __init__(self, log: Path, module: str, *arguments: str) -> None:
        self.log = log
        self._command = [sys.executable, "-m", module, *arguments]

    def __enter__(self) -> Program:
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=file, stderr=file)
        return self

    def __exit__(self, *_: object) -> None:
        if self.runs():
            self._process.kill()
        self._process.wait()

    def runs(self) -> bool:
        return self._process.poll() is None

    def stop(self, seconds: float = 30.0) -> int:
        """By SIGTERM; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def logged(self, text: str) -> int:
        lines = self.log.read_text(errors="replace").splitlines()
        return sum(text in line for line in lines)
