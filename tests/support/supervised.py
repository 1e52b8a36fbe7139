"""A supervisor in a process of its own, with children that note in a ledger what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Self

from task_helpers.exit_codes import CUT_SHORT, DONE, RECYCLE
from task_helpers.supervision.process import Child
from task_helpers.supervision.signals import StopSignals
from task_helpers.supervision.supervisor import Supervisor
from tests.support.waiting import wait_until

PATIENCE = 20


class Began(NamedTuple):
    pid: int
    worker_id: str


class Ledger:
    """A file of lines, appended to by many processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: object) -> None:
        with open(self.path, "a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    def lines(self, word: str) -> list[list[str]]:
        text = self.path.read_text() if self.path.exists() else ""
        return [line.split()[1:] for line in text.splitlines() if line.split()[0] == word]

    def began(self) -> list[Began]:
        return [Began(int(pid), worker_id) for pid, worker_id in self.lines("began")]

    def buried(self) -> list[str]:
        return [worker_id for [worker_id] in self.lines("buried")]

    def ended(self) -> list[str]:
        return [how for [how] in self.lines("ended")]

    def wait_for_began(self, count: int) -> list[Began]:
        wait_until(lambda: len(self.began()) >= count, PATIENCE)
        return self.began()


class Supervised:
    """Runs this module as a program; whatever it started is gone in the end."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def __enter__(self) -> Self:
        self._process: subprocess.Popen[bytes] | None = None
        return self

    def __exit__(self, *error: object) -> None:
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def start(self, *, child: str, processes: int, drain: float = 60) -> None:
        arguments = [str(self.ledger.path), child, str(processes), str(drain)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *arguments],
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )

    def signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process
        return self._process.wait(PATIENCE)


class Children:
    """What a child does, by name."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told = False

    def done(self) -> int:
        return DONE

    def fails(self) -> int:
        raise RuntimeError("cannot be set up")

    def recycles_once(self) -> int:
        return RECYCLE if len(self._ledger.began()) == 1 else DONE

    def fails_over_tasks(self) -> int:
        """Twice; see `main`, where it is found to have held some."""
        if len(self._ledger.began()) < 3:
            raise RuntimeError("an error of its own")
        return DONE

    def is_cut_short(self) -> int:
        return CUT_SHORT if len(self._ledger.began()) < 3 else DONE

    def works(self) -> int:
        """Until it is told to stop."""
        return self._work(until_told=True)

    def is_stuck(self) -> int:
        """Until it is interrupted."""
        return self._work(until_told=False)

    def _work(self, until_told: bool) -> int:
        try:
            while not (self._told and until_told):
                time.sleep(0.01)
        except KeyboardInterrupt:
            self._ledger.note("ended", "interrupted")
            return DONE
        self._ledger.note("ended", "stopped")
        return DONE

    def _stop(self) -> None:
        self._told = True
        self._ledger.note("told")

    def run(self, name: str, worker_id: bytes) -> int:
        with StopSignals.of_child(self._stop):
            self._ledger.note("began", os.getpid(), worker_id.hex())
            return int(getattr(self, name)())


def main(path: str, child: str, processes: str, drain: str) -> int:
    ledger = Ledger(Path(path))

    def bury(dead: Child) -> bool:
        ledger.note("buried", dead.worker_id.hex())
        return child == "fails_over_tasks"

    return Supervisor(
        lambda worker_id: Children(ledger).run(child, worker_id),
        bury,
        processes=int(processes),
        drain=float(drain),
    ).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
