"""Signals as messages: a handler only records and wakes, the loop decides."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any, Self


class SignalInbox:
    """
    Collects the given signals from `with` on, in the main thread. `SIGCHLD` can be among them.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._received: list[signal.Signals] = []

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        self._former_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._former: dict[signal.Signals, Any] = {
            number: signal.signal(number, self._record) for number in self._numbers
        }
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_fd)
        os.close(self._reader)
        os.close(self._writer)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._received.append(signal.Signals(number))

    def wait(self, seconds: float | None) -> list[signal.Signals]:
        """What has come since the last call, after so many seconds (None: any) at the latest."""
        if not self._received and select.select([self._reader], [], [], seconds)[0]:
            os.read(self._reader, 4096)
        received, self._received = self._received, []
        return received


Announce = Callable[[signal.Signals], None]
"""What is said when the first signal has come."""


class StopSignals:
    """
    How a worker is asked to stop, from `with` on, in the main thread; elsewhere, as in a test,
    signals are somebody else's business.

    The first one of either kind calls `stop`: the worker ends after the batch at hand. `insist`
    raises `KeyboardInterrupt`, once, on which a worker gives its batch back. A number in both
    asks at first and insists from then on.

    - announce - called by the handler of the first one, in the middle of anything: no lock may be
      waited for.
    - passed_on - what a supervisor got itself; None: nothing.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        ask: Collection[signal.Signals],
        insist: Collection[signal.Signals],
        *,
        announce: Announce = lambda number: None,
        passed_on: Callable[[], signal.Signals | None] = lambda: None,
    ) -> None:
        self._stop = stop
        self._announce = announce
        self._passed_on = passed_on
        self._ask = ask
        self._insist = insist
        self.received: list[signal.Signals] = []
        self.forced = False

    @classmethod
    def of_terminal(
        cls, stop: Callable[[], None], announce: Announce = lambda number: None
    ) -> Self:
        """For a worker without a supervisor: the second SIGTERM or Ctrl-C insists."""
        both = (signal.SIGTERM, signal.SIGINT)
        return cls(stop, ask=both, insist=both, announce=announce)

    @classmethod
    def of_child(
        cls,
        stop: Callable[[], None],
        passed_on: Callable[[], signal.Signals | None] = lambda: None,
    ) -> Self:
        """
        For a child of a supervisor: SIGQUIT insists. SIGTERM does not, however often it comes: a
        service manager may send it to all processes, beside the supervisor that passes it on.
        """
        ask, insist = (signal.SIGTERM,), (signal.SIGQUIT,)
        return cls(stop, ask=ask, insist=insist, passed_on=passed_on)

    @property
    def cause(self) -> signal.Signals | None:
        """What somebody sent, where a supervisor sent another one; None: nothing came."""
        if not self.received:
            return None
        return self._passed_on() or self.received[-1 if self.forced else 0]

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        self._former: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            numbers = {*self._ask, *self._insist}
            self._former = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a process that a task forked: it ends as any other does
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        received = signal.Signals(number)
        insists = received in self._insist and (received not in self._ask or bool(self.received))
        self.received.append(received)
        self._stop()
        if len(self.received) == 1:
            self._announce(received)
        if insists and not self.forced:
            self.forced = True
            raise KeyboardInterrupt
