"""
Raises `SoftTimeLimitExceeded` inside a function that another thread watches.

The thread that runs the function calls `arm` before it and `disarm` after it; the watcher calls
`interrupt` in between, never later. What was begun strikes until `disarm` is over, once.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from types import FrameType
from typing import Any, Protocol

from task_helpers.exceptions import SoftTimeLimitExceeded

SIGNAL = signal.SIGURG
"""Does nothing where nobody handles it, so one that comes late does no harm."""


class Interruption(Protocol):
    """Of one run of a function."""

    def arm(self) -> None: ...

    def interrupt(self) -> None: ...

    def disarm(self) -> None:
        """May be called again, when it was struck itself."""


def make_interruption() -> Interruption:
    """For the thread that calls this."""
    if threading.current_thread() is threading.main_thread():
        return BySignal()
    return ByException()


class BySignal:
    """
    In the main thread. Also ends what blocks, such as a read or a sleep: the handler is called at
    once, in the thread itself, and can see whether the function still runs.
    """

    def __init__(self) -> None:
        self._running = False
        self._former: Any = signal.SIG_DFL

    def arm(self) -> None:
        self._former = signal.signal(SIGNAL, self._strike)
        self._running = True

    def interrupt(self) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)

    def disarm(self) -> None:
        self._running = False
        signal.signal(SIGNAL, self._former)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        if self._running:
            self._running = False
            raise SoftTimeLimitExceeded


class ByException:
    """
    In any other thread, which meets the exception when it runs Python code the next time: not in
    the middle of a read or a sleep. If it has not met it until `disarm`, it never does.
    """

    def __init__(self) -> None:
        self._thread = ctypes.c_ulong(threading.get_ident())
        self._begun = False

    def arm(self) -> None:
        pass

    def interrupt(self) -> None:
        self._begun = True
        self._set(ctypes.py_object(SoftTimeLimitExceeded))

    def disarm(self) -> None:
        if self._begun:
            self._set(ctypes.py_object())  # NULL takes back what was not met yet

    def _set(self, exception: Any) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread, exception)
