"""A script of this project as a process, and what it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

SECONDS = 120


class Script:
    """It is known with all the processes that inherited its environment."""

    def __init__(self, path: Path, *arguments: str, **environment: str) -> None:
        self._marker = f"SCRIPT_TEST={uuid.uuid4().hex}"
        name, value = self._marker.split("=")
        self.process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            env={**os.environ, **environment, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, label: str) -> str:
        """Its output up to a line that begins with the label."""
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith(label):
                return "".join(lines)
        raise AssertionError(f"ended before {label!r}: {lines} {self.process.stderr.read()}")

    def end(self) -> tuple[int, str, str]:
        output, errors = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, output, errors

    def pids(self, words: str = "") -> list[int]:
        """Those of its processes that live and have these words in their command."""
        entries = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [int(path.name) for path in entries if self._owns(path, words)]

    def _owns(self, path: Path, words: str) -> bool:
        try:
            environment = (path / "environ").read_text(errors="replace").split("\0")
            command = (path / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:  # it has ended, or is not ours
            return False
        return self._marker in environment and words in command
