"""One queue and its workers, of which one after the other is taken for dead and comes back."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.faults.context import Context, Field, WorkerProcess
from tests.faults.stores import Store
from tests.faults.worker import OUT_OF_TIME
from tests.support.waiting import wait_until

BATCH_SECONDS = 0.1
TASKS = 5
PATIENCE = 20.0

LANES = 6
"""Side by side, because most of the time is waiting for leases."""

TOO_LATE = "came too late: not stored"
"""What a worker logs whose results were refused."""

TAKEN_AWAY = "was given to another worker"
"""What its lease thread logs if it finds out before that."""


class Lane:
    """
    One queue, its workers, and one zombie after the other.

    - lease - in seconds.
    - zombies - (pid, when it was continued).
    """

    def __init__(self, field: Field, lease: float, workers: int) -> None:
        self.field = field
        self.lease = lease
        self.zombies: list[tuple[int, int]] = []
        self.hung = 0
        self._workers = [field.start() for _ in range(workers)]

    def overtaken(self) -> None:
        """It is continued when another worker has returned all results."""
        zombie = self._stopped(self._add)
        self._join()
        refused = self.field.logged(TOO_LATE)
        self._continue(zombie)
        self._wait(lambda: self.field.logged(TOO_LATE) > refused)

    def failing(self) -> None:
        """It fails its task while another worker performs it: that is no end for the task."""
        zombie = self._stopped(lambda: self._add_deed("late", self.lease))
        before, late = len(self.field.ledger), time.monotonic() + self.lease
        self._wait(lambda: len(self.field.ledger) > before and time.monotonic() > late)
        self._continue(zombie)
        self._join()

    def unnoticed(self) -> None:
        """It is the only worker, so its tasks are still there when it comes back."""
        zombie = self._stopped(self._add)
        time.sleep(1.5 * self.lease)
        self._continue(zombie)
        self._join()

    def starved(self) -> None:
        """It is not stopped: its own code keeps its lease thread from running."""
        warned = self._warned()
        mark = str(self.field.folder / f"{len(self.field.numbers)}.mark")
        before = self._add_deed("once", [mark, "gil", 3 * self.lease])
        pid = self._whoever_performs(before)
        self._join()
        self._wait(lambda: self._warned() > warned)
        self.zombies.append((pid, time.monotonic_ns()))

    def end(self) -> None:
        """The last zombie is alone now, and has to do the work."""
        pid, _ = self.zombies[-1]
        for worker in self._workers:
            if worker.pid != pid:
                worker.stop()
        self._add()
        self._join()

    def _resumed(self) -> int:
        """How many zombies performed something after that."""
        executions = self.field.ledger.executions()
        return sum(any(e.pid == pid and e.at > at for e in executions) for pid, at in self.zombies)

    def tally(self) -> Counter[str]:
        verdict, field = self.field.judge(), self.field
        return Counter(
            {
                "zombies": len(self.zombies),
                "resumed": self._resumed(),
                "overwritten": len(verdict.changed) + len(verdict.wrong),
                "lost": len(verdict.lost) + len(verdict.failed) + len(verdict.left),
                "dead": verdict.dead,
                "hung": self.hung,
                "duplicates": field.ledger.duplicates(),
                "refused": field.logged(TOO_LATE),
                "warned": self._warned(),
                "errors": field.logged(f": TimeoutError: {OUT_OF_TIME}"),
            }
        )

    def _add(self) -> int:
        """Returns how many executions there were before."""
        before = len(self.field.ledger)
        self.field.await_results(self.field.add(TASKS))
        return before

    def _add_deed(self, name: str, argument: object) -> int:
        before = len(self.field.ledger)
        self.field.await_results([self.field.add_deed(name, argument)])
        return before

    def _whoever_performs(self, before: int) -> int:
        self._wait(lambda: len(self.field.ledger) > before)
        return self.field.ledger.executions(before)[0].pid

    def _stopped(self, add: Callable[[], int]) -> WorkerProcess:
        """A worker, in the middle of what was added. One that holds the store up may go on."""
        while True:
            pid = self._whoever_performs(add())
            zombie = next(worker for worker in self._workers if worker.pid == pid)
            zombie.signal(signal.SIGSTOP)
            if self.field.server.takes_writes():
                return zombie
            zombie.signal(signal.SIGCONT)
            self._join()

    def _continue(self, zombie: WorkerProcess) -> None:
        self.zombies.append((zombie.pid, time.monotonic_ns()))
        zombie.signal(signal.SIGCONT)

    def _join(self) -> None:
        self.hung += self.field.join()

    def _warned(self) -> int:
        return self.field.logged(TOO_LATE) + self.field.logged(TAKEN_AWAY)

    def _wait(self, condition: Callable[[], object]) -> None:
        wait_until(condition, PATIENCE)


def run_lanes(
    context: Context,
    server: Store,
    rounds: int,
    one_round: Callable[[Lane], None],
    workers: int = 2,
) -> Counter[str]:
    """So many rounds, spread over the lanes; what they came to together."""
    name, lease = one_round.__name__, context.scaled(1.0, 0.5)

    def run(lane: int) -> Counter[str]:
        where = context.field(f"{name}{lane}", server, lease=lease, batch_seconds=BATCH_SECONDS)
        with where as field:
            return _run_lane(Lane(field, lease, workers), range(lane, rounds, LANES), one_round)

    with ThreadPoolExecutor(LANES) as pool:
        return sum(pool.map(run, range(min(rounds, LANES))), Counter[str]())


def _run_lane(lane: Lane, rounds: range, one_round: Callable[[Lane], None]) -> Counter[str]:
    for _ in rounds:
        one_round(lane)
    lane.end()
    return lane.tally()
