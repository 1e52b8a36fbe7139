"""Functions that run longer than they may. Those that nobody can interrupt need processes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from task_helpers import task_function
from task_helpers.exceptions import PerformTaskError, SoftTimeLimitExceeded, TimeLimitExceeded
from task_helpers.registry import Registry
from task_helpers.time_limits import TimeLimits
from task_helpers.workers._interruptions import SIGNAL, ByException, BySignal
from task_helpers.workers._watchdog import Watchdog
from task_helpers.workers.classic import ClassicWorker
from tests.support.waiting import Stopwatch, in_thread, wait_until

Q = "calls"
SHORT = 0.1
LONG = 60.0

cleaned: list[str] = []


@task_function(name="tests.limits.sleep", soft_time_limit=timedelta(seconds=SHORT))
def sleep(seconds: float = LONG) -> str:
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            time.sleep(min(seconds, 0.01) if in_a_thread() else seconds)
    finally:
        cleaned.append("sleep")
    return "awake"


@task_function(name="tests.limits.catch", soft_time_limit=SHORT)
def catch() -> str:
    try:
        sleep()
    except SoftTimeLimitExceeded as error:
        return f"half of it, for {error}"
    return "all"


@task_function(name="tests.limits.unlimited")
def unlimited(seconds: float) -> str:
    return sleep(seconds)


@task_function(name="tests.limits.wait", soft_time_limit=SHORT)
async def wait(seconds: float = LONG) -> str:
    try:
        await asyncio.sleep(seconds)
    except SoftTimeLimitExceeded:
        await asyncio.sleep(0)  # it may clean up as it likes
        cleaned.append("wait")
        raise
    return "awake"


@task_function(name="tests.limits.catch_wait", soft_time_limit=SHORT)
async def catch_wait() -> str:
    try:
        await wait()
    except SoftTimeLimitExceeded:
        return "half of it"
    return "all"


@task_function(name="tests.limits.group", soft_time_limit=SHORT)
async def group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(LONG))
        await asyncio.sleep(LONG)


@task_function(name="tests.limits.asyncio", soft_time_limit=LONG)
async def own_timeout() -> str:
    try:
        async with asyncio.timeout(SHORT):
            await asyncio.sleep(LONG)
    except TimeoutError:
        return "its own timeout"
    return "none"


def in_a_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


def outcome(courier: Any, function: Any, *args: Any, **fields: Any) -> Any:
    """Of a call that a worker performs here, or in threads of its own."""
    cleaned.clear()
    task_id = courier.add_task_to_queue(Q, {"function": function, "args": args})
    ClassicWorker(courier, queue_name=Q, burst=True, **fields).perform()
    [result] = courier.bulk_wait_for_task_results(Q, [task_id], timeout=0, return_exceptions=True)
    return result


threads = pytest.mark.parametrize("threads", [1, 2])


@threads
@pytest.mark.parametrize(("function", "name"), [(sleep, "sleep"), (wait, "wait")])
def test_a_function_is_interrupted_and_may_clean_up(
    courier: Any, threads: int, function: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    # when a function runs longer than its soft limit
    stopwatch = Stopwatch()
    error = outcome(courier, function, threads=threads)
    # then it is interrupted inside, and whoever waits is told
    assert stopwatch.seconds < 5
    assert cleaned == [name]
    assert isinstance(error, TimeLimitExceeded)
    assert error.exception_type == "", "its class says what it is, as that of all named ends"
    assert error.message == f"tests.limits.{name} ran longer than its soft_time_limit of 0.1 s"
    assert f"in {name}" in error.remote_traceback
    # and the log has the line that it was interrupted at
    [record] = caplog.records
    assert record.message.endswith(f"TimeLimitExceeded: {error.message}")
    assert f"in {name}\n" in caplog.text


@threads
def test_a_function_that_catches_it_has_a_result(courier: Any, threads: int) -> None:
    assert outcome(courier, catch, threads=threads) == "half of it, for the soft time limit is over"
    assert outcome(courier, catch_wait, threads=threads) == "half of it"


@threads
def test_who_is_in_time_is_not_interrupted(courier: Any, threads: int) -> None:
    assert outcome(courier, sleep, 0, threads=threads) == "awake"
    assert outcome(courier, wait, 0, threads=threads) == "awake"


@threads
def test_a_group_of_coroutines_is_interrupted_as_one(courier: Any, threads: int) -> None:
    assert isinstance(outcome(courier, group, threads=threads), TimeLimitExceeded)


def test_a_timeout_of_the_function_itself_is_left_alone(courier: Any) -> None:
    assert outcome(courier, own_timeout) == "its own timeout"


def test_the_worker_has_limits_for_functions_without(courier: Any) -> None:
    assert isinstance(outcome(courier, unlimited, LONG, soft_time_limit=SHORT), TimeLimitExceeded)
    assert isinstance(outcome(courier, sleep, LONG, soft_time_limit=LONG), TimeLimitExceeded)
    assert outcome(courier, unlimited, 0, soft_time_limit=SHORT, time_limit=LONG) == "awake"


def test_it_is_tried_again_as_after_any_error(courier: Any) -> None:
    task_id = courier.add_task_to_queue(Q, {"function": sleep})
    worker = ClassicWorker(courier, queue_name=Q, max_attempts=2, retry_delay=0)
    worker.perform(total_iterations=2)
    with pytest.raises(TimeLimitExceeded) as raised:
        courier.get_task_result(Q, task_id)
    assert raised.value.attempts == 2


def test_an_interruption_of_ones_own_making_is_an_error(courier: Any) -> None:
    @task_function(name="tests.limits.raises")
    def raises() -> None:
        raise SoftTimeLimitExceeded

    error = outcome(courier, raises)
    assert type(error) is PerformTaskError
    assert error.exception_type == "SoftTimeLimitExceeded"


@pytest.mark.parametrize("limit", [0, -1, "5", float("nan")])
@pytest.mark.parametrize("name", ["soft_time_limit", "time_limit"])
def test_a_limit_is_a_duration(courier: Any, name: str, limit: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Registry().register(sleep, **{name: limit})
    with pytest.raises(ValueError, match=f"^{name} must be"):
        ClassicWorker(courier, queue_name=Q, **{name: limit}).check_fields()


# --- The race between a function that ends and its interruption


def late(watchdog: Watchdog, kind: Any, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Interruptions of this kind are begun when the function has just ended."""
    interrupt, begun = kind.interrupt, threading.Event()

    def when_it_is_done(self: Any) -> None:
        begun.set()
        [watch] = watchdog._watches
        wait_until(lambda: watch._done)
        interrupt(self)

    monkeypatch.setattr(kind, "interrupt", when_it_is_done)
    return begun


def test_an_interruption_in_a_thread_that_comes_late_does_not_come_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watchdog = Watchdog()
    begun = late(watchdog, ByException, monkeypatch)

    def run() -> str:
        with suppress(SoftTimeLimitExceeded):
            watchdog.run(lambda: begun.wait(10), TimeLimits(0.001), never)
        for _ in range(10_000):  # whatever strikes now ends the thread
            time.perf_counter()
        return "not struck"

    assert in_thread(run).result(10) == "not struck"
    watchdog.stop()
    assert not watchdog._watches


def test_an_interruption_in_the_main_thread_that_comes_late_does_not_come_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watchdog, former = Watchdog(), signal.getsignal(SIGNAL)
    begun = late(watchdog, BySignal, monkeypatch)
    with suppress(SoftTimeLimitExceeded):
        watchdog.run(lambda: begun.wait(10), TimeLimits(0.001), never)
    watchdog.stop()
    assert not watchdog._watches
    assert signal.getsignal(SIGNAL) is former


def seeded() -> random.Random:
    seed = int(os.environ.get("LIMITS_SEED", random.randrange(2**32)))
    print(f"LIMITS_SEED={seed}")
    return random.Random(seed)


class Racer:
    """Runs functions that end about when they are interrupted, and others after each."""

    def __init__(self, watchdog: Watchdog, seed: float) -> None:
        self._watchdog = watchdog
        self._random = random.Random(seed)
        self.interrupted = self.returned = 0

    def race(self, rounds: int) -> None:
        for _ in range(rounds):
            self.one()
            self.busy(0.0005)  # whatever strikes here ends the race,
            self._watchdog.run(lambda: self.busy(0.0005), TimeLimits(LONG), never)  # or here

    def one(self) -> None:
        limit = self._random.uniform(0.0001, 0.003)
        beyond = self._random.uniform(-0.0005, 0.0005)
        if self._random.random() < 0.05:
            beyond = 5  # never mind how late the watchdog gets its turn: this one it strikes
        duration = max(0.0, limit + beyond)
        try:
            self._watchdog.run(lambda: self.busy(duration), TimeLimits(limit), never)
            self.returned += 1
        except SoftTimeLimitExceeded:
            self.interrupted += 1

    def busy(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass


def never() -> None:
    raise AssertionError("there is no hard limit")


def test_an_interruption_in_a_thread_strikes_the_function_or_nothing() -> None:
    chance, watchdog = seeded(), Watchdog()
    racers = [Racer(watchdog, chance.random()) for _ in range(4)]
    races = [in_thread(racer.race, 100) for racer in racers]
    for race in races:
        race.result(60)
    watchdog.stop()
    assert sum(racer.interrupted for racer in racers)
    assert sum(racer.interrupted + racer.returned for racer in racers) == 400


def test_an_interruption_in_the_main_thread_strikes_the_function_or_nothing() -> None:
    watchdog, former = Watchdog(), signal.getsignal(SIGNAL)
    racer = Racer(watchdog, seeded().random())
    racer.race(200)
    watchdog.stop()
    assert racer.interrupted
    assert racer.interrupted + racer.returned == 200
    assert signal.getsignal(SIGNAL) is former
