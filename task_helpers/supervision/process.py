"""One child process: how it begins, and what it inherits."""

from __future__ import annotations

import logging
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from task_helpers.exit_codes import FAILED

logger = logging.getLogger("task_helpers.supervision")

RunChild = Callable[[bytes], int]
"""Runs in the child, given its worker id; returns the exit code."""

_HELD_BACK = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


@dataclass(frozen=True, slots=True)
class Child:
    """
    - worker_id - marks the batches that it takes.
    - started_at - on `time.monotonic()`.
    """

    pid: int
    worker_id: bytes
    started_at: float

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has ended and is about to be reaped
            os.kill(self.pid, number)

    def exit_code(self) -> int | None:
        """None while it runs; negative: the number of the signal that killed it."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


class ParentLink:
    """
    What children see of their parent: a pipe whose reading end sees it die, however it dies, and a
    byte with the signal that it got.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._got = mmap.mmap(-1, 1)  # shared by all that are forked

    @property
    def got(self) -> signal.Signals | None:
        return signal.Signals(self._got[0]) if self._got[0] else None

    def note(self, number: signal.Signals) -> None:
        self._got[0] = number

    def watch(self) -> None:
        """In the child: asks it to stop, as a signal would, when the parent is gone."""
        os.close(self._writer)
        threading.Thread(target=self._wait, name="task_helpers parent", daemon=True).start()

    def _wait(self) -> None:
        os.read(self._reader, 1)
        logger.warning("The supervisor is gone: stopping after the batch at hand.")
        os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
        self._got.close()


def start_child(run: RunChild, link: ParentLink) -> Child:
    """Forks. Signals are held back meanwhile: none may meet the parent's handlers in the child."""
    worker_id = os.urandom(8)
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        pid = os.fork()
        if pid == 0:
            _become_child(run, link, worker_id)
        return Child(pid, worker_id, time.monotonic())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)


def _become_child(run: RunChild, link: ParentLink, worker_id: bytes) -> None:
    """Never returns. Ctrl-C reaches parent and child: it is the parent that passes it on."""
    code = FAILED
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
        link.watch()
        code = run(worker_id)
    except Exception:
        logger.exception("Worker process %d failed.", os.getpid())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
