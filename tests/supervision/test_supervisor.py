"""The supervisor with real processes and real signals; its children here know nothing of tasks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from task_helpers.exit_codes import DONE
from task_helpers.supervision.signals import StopSignals
from tests.support.supervised import Ledger, Supervised
from tests.support.waiting import wait_until

PATIENCE = 20


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    with Supervised(Ledger(tmp_path / "ledger")) as process:
        yield process


def test_children_that_are_done_end_it(supervised: Supervised) -> None:
    # given children that have nothing to do
    supervised.start(child="done", processes=3)
    # then each of them ran once, nobody was buried, and it ends
    assert supervised.wait() == DONE
    assert len(supervised.ledger.began()) == 3
    assert supervised.ledger.buried() == []


def test_a_killed_child_is_buried_at_once_and_replaced(supervised: Supervised) -> None:
    # given two children at work
    supervised.start(child="works", processes=2)
    first, second = supervised.ledger.wait_for_began(2)
    # when one is killed
    os.kill(first.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    # then it is buried within half a second under its own id, and a third begins
    wait_until(lambda: supervised.ledger.buried() == [first.worker_id], PATIENCE)
    assert time.monotonic() - killed_at < 0.5
    third = supervised.ledger.wait_for_began(3)[2]
    assert third.pid not in (first.pid, second.pid)


def test_a_child_that_asks_for_it_is_replaced_without_a_burial(supervised: Supervised) -> None:
    # given a child that is worn out, whose successor is done
    supervised.start(child="recycles_once", processes=1)
    # then two ran and nobody was buried
    assert supervised.wait() == DONE
    assert len(supervised.ledger.began()) == 2
    assert supervised.ledger.buried() == []


def test_one_signal_lets_the_batch_end(supervised: Supervised) -> None:
    # given children in the middle of something
    supervised.start(child="works", processes=2)
    supervised.ledger.wait_for_began(2)
    # when the supervisor is asked to end
    supervised.signal(signal.SIGTERM)
    # then both end after it
    assert supervised.wait() == 0
    assert sorted(supervised.ledger.ended()) == ["stopped", "stopped"]


def test_a_second_signal_makes_the_children_give_back(supervised: Supervised) -> None:
    # given a child that does not end by itself, asked to
    supervised.start(child="is_stuck", processes=1)
    supervised.ledger.wait_for_began(1)
    supervised.signal(signal.SIGTERM)
    wait_until(lambda: supervised.ledger.lines("told"), PATIENCE)
    # when asked again
    supervised.signal(signal.SIGINT)
    # then it leaves
    assert supervised.wait() == 128 + signal.SIGINT
    assert supervised.ledger.ended() == ["interrupted"]


def test_drain_bounds_how_long_a_batch_may_take(supervised: Supervised) -> None:
    # given a child that does not end by itself
    supervised.start(child="is_stuck", processes=1, drain=0.3)
    supervised.ledger.wait_for_began(1)
    # when asked once
    supervised.signal(signal.SIGTERM)
    # then it is interrupted when the time is up, which is a stop in good order
    assert supervised.wait() == 0
    assert supervised.ledger.ended() == ["interrupted"]


def test_a_child_that_cannot_start_is_not_started_for_ever(supervised: Supervised) -> None:
    supervised.start(child="fails", processes=2)
    assert supervised.wait() == 1
    assert len(supervised.ledger.began()) <= 3


@pytest.mark.parametrize("child", ["fails_over_tasks", "is_cut_short"])
def test_a_child_that_has_worked_could_start(supervised: Supervised, child: str) -> None:
    # given a child that dies young, but not without work; the third one is done
    supervised.start(child=child, processes=1)
    # then it was replaced, and each of the two was buried
    assert supervised.wait() == DONE
    assert len(supervised.ledger.began()) == 3
    assert len(supervised.ledger.buried()) == 2


def test_orphans_stop(supervised: Supervised) -> None:
    # given a supervisor with a child
    supervised.start(child="works", processes=1)
    [child] = supervised.ledger.wait_for_began(1)
    # when the supervisor is killed
    supervised.signal(signal.SIGKILL)
    # then its child stops in good order
    wait_until(lambda: supervised.ledger.ended() == ["stopped"], PATIENCE)
    wait_until(lambda: not _exists(child.pid), PATIENCE)


def test_a_direct_sigterm_beside_the_supervisors_is_no_second_one(supervised: Supervised) -> None:
    # given a child that works
    supervised.start(child="works", processes=1)
    [child] = supervised.ledger.wait_for_began(1)
    # when a service manager tells both
    supervised.signal(signal.SIGTERM)
    os.kill(child.pid, signal.SIGTERM)
    # then the batch ends as after one
    assert supervised.wait() == 0
    assert supervised.ledger.ended() == ["stopped"]


def test_what_a_child_forks_ends_by_its_own_signals() -> None:
    # given a process forked where signals only ask to stop
    with StopSignals.of_child(lambda: None):
        context = multiprocessing.get_context("fork")
        runs = context.Event()
        process = context.Process(target=lambda: (runs.set(), time.sleep(60)))
        process.start()
        assert runs.wait(PATIENCE)
        # when it is terminated
        process.terminate()
        process.join(PATIENCE)
    # then it is
    assert process.exitcode == -signal.SIGTERM


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # an orphan may stay a zombie where nobody reaps
        return stat.read().rpartition(")")[2].split()[0] != "Z"
