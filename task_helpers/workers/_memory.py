"""How much memory this process takes, and when Python looks for garbage in it."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from task_helpers.couriers.store import MAX_BATCH

MIB = 1024 * 1024

OBJECTS_PER_TASK = 20
"""So many containers may a task make on its way before Python looks whether they are garbage."""


class Collector:
    """
    The cyclic garbage collector, which does not run in the middle of a usual batch while a worker
    performs: all that it could look at lives until the results are returned, and without work of
    its own a worker spent a sixth of its time on that search. It belongs to the process, so the
    first worker changes it, and the last one changes it back unless somebody else did.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers = 0
        self._before = self._ours = 0  # thresholds of the youngest generation

    @contextmanager
    def patient(self, most_tasks: int) -> Iterator[None]:
        """
        A collector that is off stays off.

        - most_tasks - of one batch.
        """
        self._begin(OBJECTS_PER_TASK * min(most_tasks, MAX_BATCH))
        try:
            yield
        finally:
            self._end()

    def _begin(self, objects: int) -> None:
        with self._lock:
            youngest, *older = gc.get_threshold()
            if not self._workers:
                self._before = self._ours = youngest
            self._workers += 1
            if 0 < youngest < objects:
                self._ours = objects
                gc.set_threshold(objects, *older)

    def _end(self) -> None:
        with self._lock:
            self._workers -= 1
            youngest, *older = gc.get_threshold()
            if not self._workers and youngest == self._ours:
                gc.set_threshold(self._before, *older)


collector = Collector()


def resident_mib() -> float:
    """Now, where the system tells (Linux), else at its highest so far."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    except (OSError, IndexError, ValueError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
