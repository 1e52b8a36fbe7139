"""
Keeps worker processes alive: the parent of `runworker --processes N`.

It knows nothing of tasks. A child that dies is buried at once (its batches go back to the queue)
and replaced; one that asks for it is replaced by a fresh one; one that is done is not. The first
SIGTERM or SIGINT lets every child finish its batch, for `drain` seconds; then, or at a second
signal, they are to give their batches back; who does not leave then is killed and buried.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable

from task_helpers.exit_codes import CUT_SHORT, DONE, FAILED, RECYCLE
from task_helpers.supervision.process import Child, ParentLink, RunChild, start_child
from task_helpers.supervision.signals import Announce, SignalInbox

logger = logging.getLogger("task_helpers.supervision")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
HEALTHY_LIFE = 5.0
"""Seconds. One that dies young is replaced after 0.1, 0.2, … 10 s, any other at once."""

LONGEST_PAUSE_OVER_TASKS = 0.5
"""
Instead of 10 s when it held tasks. To find the one that killed it takes up to five deaths, and all
others wait meanwhile; what dies without any will die again the same way.
"""

LEAVING_SECONDS = 5.0
"""How long a child may take to give its batch back before it is killed."""


class Backoff:
    """How long to wait before the next child of one place is started."""

    def __init__(self) -> None:
        self._pause = 0.0

    def after(self, life: float, *, held: bool) -> float:
        """The pause after a child that lived so many seconds and held tasks or none."""
        longest = LONGEST_PAUSE_OVER_TASKS if held else LONGEST_PAUSE
        pause = 0.0 if life >= HEALTHY_LIFE else min(self._pause, longest)
        self._pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
        return pause


class Seat:
    """One of the N places: a child, or when the next one is to start, or neither: done."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.start_at: float | None = 0.0
        self.backoff = Backoff()


class Supervisor:
    """
    - run_child - what a child does, see `signals.StopSignals` for how it is asked to stop.
    - bury - called with each child that died; says whether it held tasks.
    - processes - how many children.
    - drain - seconds to finish the batches at hand when it is to stop.
    - announce - called with the first signal.
    """

    def __init__(
        self,
        run_child: RunChild,
        bury: Callable[[Child], object],
        *,
        processes: int,
        drain: float,
        announce: Announce = lambda number: None,
    ) -> None:
        self._run_child = run_child
        self._bury = bury
        self._seats = [Seat() for _ in range(processes)]
        self._drain = drain
        self._announce = announce
        self._deadlines: list[tuple[float, signal.Signals]] | None = None
        self._link = ParentLink()
        self._proven = False
        self._failed = False
        self.received: list[signal.Signals] = []

    def run(self) -> int:
        """Until all children are done or have stopped. Returns an exit code, see `_exit_code`."""
        with SignalInbox(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD) as inbox:
            while self._has_work():
                self._start_due()
                for number in inbox.wait(self._pause()):
                    if number != signal.SIGCHLD:
                        self._hear(number)
                self._reap()
                self._press()
        self._link.close()
        return self._exit_code()

    def signal_got(self) -> signal.Signals | None:
        """The last one that asked it to stop; children may ask too. None: there was none."""
        return self._link.got

    @property
    def stopping(self) -> bool:
        return self._deadlines is not None

    def _has_work(self) -> bool:
        coming = not self.stopping and any(seat.start_at is not None for seat in self._seats)
        return coming or any(seat.child for seat in self._seats)

    def _start_due(self) -> None:
        for seat in self._seats:
            due = seat.start_at is not None and seat.start_at <= time.monotonic()
            if due and not self.stopping:
                self._start(seat)

    def _start(self, seat: Seat) -> None:
        """A system without room for a process now may have some later."""
        try:
            seat.child, seat.start_at = start_child(self._run_child, self._link), None
        except OSError as error:
            logger.error("No worker process could be started: %s", error)
            seat.start_at = time.monotonic() + LONGEST_PAUSE

    def _pause(self) -> float | None:
        """Until the next thing is due that no signal announces; None: nothing is."""
        if self._deadlines is None:
            due = [seat.start_at for seat in self._seats if seat.start_at is not None]
        else:
            due = [deadline for deadline, _ in self._deadlines[:1]]
        return max(0.0, min(due) - time.monotonic()) if due else None

    # --- Stopping

    def _hear(self, number: signal.Signals) -> None:
        self.received.append(number)
        self._link.note(number)
        if len(self.received) == 1:
            self._announce(number)
        self._stop()

    def _stop(self) -> None:
        """The second time is impatient: whatever was to follow later follows now."""
        now = time.monotonic()
        if self._deadlines is None:
            self._tell(signal.SIGTERM)
            leave = now + self._drain
            self._deadlines = [
                (leave, signal.SIGQUIT),
                (leave + LEAVING_SECONDS, signal.SIGKILL),
            ]
        elif len(self._deadlines) == 2:
            self._deadlines = [(now, signal.SIGQUIT), (now + LEAVING_SECONDS, signal.SIGKILL)]

    def _press(self) -> None:
        """Sends what is due to the children that are still there."""
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            self._tell(self._deadlines.pop(0)[1])

    def _tell(self, number: signal.Signals) -> None:
        for seat in self._seats:
            if seat.child:
                seat.child.send(number)

    # --- Ends

    def _reap(self) -> None:
        for seat in self._seats:
            if seat.child and (code := seat.child.exit_code()) is not None:
                child, seat.child = seat.child, None
                self._ended(seat, child, code)

    def _ended(self, seat: Seat, child: Child, code: int) -> None:
        if code in (DONE, RECYCLE):
            self._proven = True
        if code == DONE:
            return
        if code == RECYCLE:
            seat.start_at = time.monotonic()
            return
        held = self._bury_safely(child)
        life = time.monotonic() - child.started_at
        self._proven = self._proven or held or code == CUT_SHORT or life >= HEALTHY_LIFE
        if code == FAILED and not self._proven and not self.stopping:
            self._give_up(child)
            return
        pause = seat.backoff.after(life, held=held)
        seat.start_at = time.monotonic() + pause
        if not self.stopping:
            logger.error("Worker process %d %s; next in %.1f s.", child.pid, _death(code), pause)

    def _give_up(self, child: Child) -> None:
        """What cannot even start will not start the next time: that is for a person to see."""
        logger.critical("Worker process %d could not start: giving up.", child.pid)
        self._failed = True
        if not self.stopping:
            self._stop()

    def _bury_safely(self, child: Child) -> bool:
        """The supervisor must not die of it: the lease runs out all the same."""
        try:
            return bool(self._bury(child))
        except Exception as error:
            logger.warning("The batches of process %d wait for their lease: %s", child.pid, error)
            return False

    def _exit_code(self) -> int:
        """
        0 after a stop in good order, 128 + the number of the signal that cut it short, 1 when the
        first child could not start.
        """
        if self._failed:
            return FAILED
        return 128 + self.received[1] if len(self.received) > 1 else DONE


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"
