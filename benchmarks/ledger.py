"""How many executions a worker process has made, and when the last one was: for all to see."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

_FIELDS = struct.Struct("=qq")


class Ledger:
    """
    A counter in a file that two processes share. One process counts, others read.

    - last - of the last execution, in seconds of `time.monotonic`, which is the machine's.
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_FIELDS.size)
            self._memory = mmap.mmap(file.fileno(), _FIELDS.size)

    def add(self, executions: int) -> None:
        _FIELDS.pack_into(self._memory, 0, self.executions + executions, time.monotonic_ns())

    @property
    def executions(self) -> int:
        return _FIELDS.unpack_from(self._memory)[0]

    @property
    def last(self) -> float:
        return _FIELDS.unpack_from(self._memory)[1] / 1e9
