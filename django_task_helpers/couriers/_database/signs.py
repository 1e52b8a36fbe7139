"""What shows without a question that somebody may have written to a database."""

from __future__ import annotations

import os
import time

from django.db import connections

TICK_NS = 20_000_000
"""So coarse may the times of files be."""


class Signs:
    """
    Nothing does.

    - longest - seconds that whoever waits may rest between two marks.
    """

    longest = 0.2

    def mark(self) -> object:
        """Equal to that of before: nobody has written in between."""
        return object()


class FileSigns(Signs):
    """Who writes to SQLite leaves traces at its files, which cost far less than a question."""

    longest = 0.015

    def __init__(self, path: str) -> None:
        self._paths = (path, f"{path}-wal")

    def mark(self) -> object:
        """After a write that was just now, another one may leave the same trace."""
        traces, now = list(map(_trace, self._paths)), time.time_ns()
        is_hidden = traces[0] is None  # the name is a URI, say
        is_young = any(trace and abs(now - trace[0]) < TICK_NS for trace in traces)
        return object() if is_hidden or is_young else traces


def signs_of(using: str) -> Signs:
    connection = connections[using]
    if connection.vendor == "sqlite" and not connection.is_in_memory_db():  # type: ignore[attr-defined]
        return FileSigns(str(connection.settings_dict["NAME"]))
    return Signs()


def _trace(path: str) -> tuple[int, int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
