"""How much memory this process takes, and when Python looks for garbage in it."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from task_helpers.couriers.store import MAX_BATCH

MIB = 1024 * 1024

OBJECTS_PER_TASK = 20
"""So many containers may a task make on its way before Python looks whether they are garbage."""


@contextmanager
def patient_collector(most_tasks: int) -> Iterator[None]:
    """
    Inside, the cyclic garbage collector does not run in the middle of a usual batch. All that it
    could look at lives until the results are returned: in the search for garbage a worker without
    work of its own spent a sixth of its time. A collector that is off stays off.

    - most_tasks - of one batch.
    """
    before = gc.get_threshold()
    youngest, *older = before
    if youngest:
        youngest = max(youngest, OBJECTS_PER_TASK * min(most_tasks, MAX_BATCH))
    gc.set_threshold(youngest, *older)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def resident_mib() -> float:
    """Now, where the system tells (Linux), else at its highest so far."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    except (OSError, IndexError, ValueError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
