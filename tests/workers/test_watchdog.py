"""The guards of the watchdog, one by one; the races themselves are in `test_time_limits`."""

from __future__ import annotations

import ctypes
import math
import signal
import threading
from typing import Any

import pytest

from task_helpers.exceptions import SoftTimeLimitExceeded
from task_helpers.time_limits import TimeLimits
from task_helpers.workers._interruptions import SIGNAL, ByException, BySignal
from task_helpers.workers._watchdog import Watch, Watchdog
from tests.support.waiting import PATIENCE

LONG = 60.0


def never() -> None:
    raise AssertionError("the process was to end")


@pytest.fixture
def watchdog() -> Any:
    made = Watchdog()
    yield made
    made.stop()


def its_thread() -> threading.Thread | None:
    named = [thread for thread in threading.enumerate() if "time limits" in thread.name]
    return named[0] if named else None


def test_a_hard_limit_that_comes_late_ends_nothing() -> None:
    # given a function with a hard limit that has just ended
    watch = Watch(TimeLimits(None, 1), never)
    watch.begin()
    watch.settle()
    # when the watchdog finds that its time is up, then nothing happens, and that was all
    watch.look(math.inf)
    assert watch.next_at == math.inf


def test_a_soft_limit_is_looked_at_once() -> None:
    watch = Watch(TimeLimits(1, None), never)
    watch.settle()
    watch.look(math.inf)
    assert watch.next_at == math.inf


def test_who_is_stopped_ends_its_thread_and_can_begin_again(watchdog: Watchdog) -> None:
    # given a watchdog that sleeps until a limit in the far future
    assert watchdog.run(lambda: 1, TimeLimits(LONG), never) == 1
    first = its_thread()
    assert first
    # when it is stopped, then its thread ends
    watchdog.stop()
    first.join(PATIENCE)
    assert not first.is_alive()
    # and the next function with a limit has a new one
    assert watchdog.run(lambda: 2, TimeLimits(LONG), never) == 2
    assert its_thread() not in (None, first)


def test_a_thread_that_cannot_be_started_leaves_no_function_unwatched(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a system without room for a thread
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_room)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            watchdog.run(never, TimeLimits(0.01), never)
    assert signal.getsignal(SIGNAL) is signal.SIG_DFL
    # when there is some later, then functions are interrupted
    with pytest.raises(SoftTimeLimitExceeded):
        watchdog.run(lambda: threading.Event().wait(LONG), TimeLimits(0.01), never)


def no_room(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_signal_strikes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    interruption = BySignal()
    interruption.arm()
    with pytest.raises(SoftTimeLimitExceeded):
        signal.raise_signal(SIGNAL)
    signal.raise_signal(SIGNAL)
    interruption.disarm()


def test_a_signal_that_meets_the_disarming_does_not_strike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a signal that comes when the former handler is about to come back
    interruption, install = BySignal(), signal.signal
    interruption.arm()

    def interrupted(number: Any, handler: Any) -> Any:
        signal.raise_signal(number)
        return install(number, handler)

    monkeypatch.setattr(signal, "signal", interrupted)
    # when the function is over, then nothing strikes
    interruption.disarm()
    assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def test_only_what_was_begun_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # given two functions in a thread, one of which is interrupted as it ends
    asked = list[Any]()
    monkeypatch.setattr(ByException, "_set", lambda self, error: asked.append(error))
    late, quiet = ByException(), ByException()
    # when both are over
    late.interrupt()
    late.disarm()
    quiet.disarm()
    # then what the one did not meet is taken back, and the thread is not touched for the other
    begun, taken_back = asked
    assert begun.value is SoftTimeLimitExceeded
    assert isinstance(taken_back, ctypes.py_object)
    assert not taken_back, "NULL"
