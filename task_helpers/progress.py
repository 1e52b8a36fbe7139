"""How far a running task is, as bytes: what a worker reports and `get_task_status` shows."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from task_helpers.tasks import TaskStatus

MAX_MESSAGE = 500
"""Longest message that is kept, in characters."""

_FRACTION = struct.Struct(">d")


class Progress(NamedTuple):
    """
    - fraction - how much is done, from 0 to 1; what is beside that becomes the nearer of both.
      None: not known.
    - message - what is being done.
    """

    fraction: float | None
    message: str = ""


def pack(progress: Progress) -> bytes:
    """`TypeError` or `ValueError` when the fraction is no number."""
    fraction = math.nan if progress.fraction is None else float(progress.fraction)
    message = str(progress.message)[:MAX_MESSAGE].encode("utf-8", "backslashreplace")
    return _FRACTION.pack(fraction) + message


def unpack(note: bytes) -> Progress:
    """What is damaged says nothing: it is only to be looked at."""
    if len(note) < _FRACTION.size:
        return Progress(None)
    [fraction] = _FRACTION.unpack_from(note)
    message = note[_FRACTION.size :].decode("utf-8", "replace")
    return Progress(None if math.isnan(fraction) else min(1.0, max(0.0, fraction)), message)


def status_of(note: bytes | None) -> TaskStatus:
    """The status of a running task that reported this, or nothing yet."""
    return TaskStatus("running", *unpack(note or b""))
