"""What a process does that has to end in the middle of its work."""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
from collections.abc import Callable

from task_helpers.exit_codes import RECYCLE, TOO_LONG

logger = logging.getLogger("task_helpers.workers")

LAST_SECONDS = 5.0
"""Longest time to tell the store, which may be away."""


def end_process(say: Callable[[], None]) -> None:
    """
    Prints the stacks of all threads, calls `say`, and ends the process: with RECYCLE when all was
    said in time, so that nothing is held any more, else with TOO_LONG. Never returns.
    """
    code = TOO_LONG
    try:
        faulthandler.dump_traceback(all_threads=True)
        if _is_said(say):
            code = RECYCLE
    finally:
        os._exit(code)


def _is_said(say: Callable[[], None]) -> bool:
    said = threading.Event()

    def speak() -> None:
        try:
            say()
            said.set()
        except Exception:
            logger.exception("The store was not told why the process ends.")

    thread = threading.Thread(target=speak, name="task_helpers last words", daemon=True)
    thread.start()
    thread.join(LAST_SECONDS)
    return said.is_set()
