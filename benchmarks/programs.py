"""
The programs of the client process, one per question. Each returns its figures by name.

Every one makes its data and a first round trip before it looks at the clock, and compares every
result with what was sent.
"""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ledger import Ledger
from meter import Meter
from processes import connections_to
from system import TIMEOUT, Data, System

Figures = dict[str, Any]

CALLERS = 64
WARM_UPS = 20


class Wrong(Exception):
    """A result is not the caller's own, or executions are missing or too many."""


@dataclass
class Run:
    """
    - count - how many tasks.
    - repeats - how often it is done; the figures are medians.
    - worker, redis - their process ids; 0 where there is none.
    - meter_of - makes a meter of process ids.
    - added - how many tasks were added in all.
    """

    system: System
    ledger: Ledger
    count: int
    repeats: int
    worker: int
    redis: int
    meter_of: Callable[[dict[str, int]], Meter] = Meter
    added: int = 0

    def data(self, count: int | None = None) -> list[Data]:
        """The payload of the README, each with a price of its own."""
        count = self.count if count is None else count
        first, self.added = self.added, self.added + count
        prices = (f"{n % 100_000 / 100:.2f}" for n in range(first, first + count))
        return [{"name": "tomato", "price": price} for price in prices]

    def meter(self) -> Meter:
        pids = {"client": os.getpid(), "worker": self.worker, "redis": self.redis}
        return self.meter_of({name: pid for name, pid in pids.items() if pid})

    def warm_up(self) -> None:
        for data in self.data(WARM_UPS):
            _compare([self.system.call(data)], [data])


def add_singly(run: Run) -> Figures:
    for data in run.data(WARM_UPS):
        run.system.add(data)
    many, meter = run.data(), run.meter()
    with meter:
        began = time.perf_counter()
        for data in many:
            run.system.add(data)
        took = time.perf_counter() - began
    return {"rate": run.count / took, **meter.figures(run.count)}


def add_in_bulk(run: Run) -> Figures:
    run.system.add_many(run.data(WARM_UPS))
    meter, rates = run.meter(), []
    for _ in range(run.repeats):
        many = run.data()
        with meter:
            began = time.perf_counter()
            run.system.add_many(many)
            rates.append(run.count / (time.perf_counter() - began))
    return {"rate": statistics.median(rates), **meter.figures(run.count * run.repeats)}


def drain(run: Run) -> Figures:
    """The worker is held while the tasks are added, so that it meets all of them at once."""
    run.system.add_many(run.data(WARM_UPS))
    _wait_for_executions(run, run.added)
    meter, rates = run.meter(), []
    for _ in range(run.repeats):
        _hold_worker(run)
        run.system.add_many(run.data())
        with meter:
            began = time.monotonic()
            os.kill(run.worker, signal.SIGCONT)
            _wait_for_executions(run, run.added)
        rates.append(run.count / (run.ledger.last - began))
    return {"rate": statistics.median(rates), **meter.figures(run.count * run.repeats)}


def _hold_worker(run: Run) -> None:
    """Not while it has a lock that the client needs."""
    os.kill(run.worker, signal.SIGSTOP)
    while not run.system.can_write():
        os.kill(run.worker, signal.SIGCONT)
        time.sleep(0.005)
        os.kill(run.worker, signal.SIGSTOP)


def round_trip(run: Run) -> Figures:
    run.warm_up()
    meter, rates = run.meter(), []
    for _ in range(run.repeats):
        many = run.data()
        with meter:
            began = time.perf_counter()
            results = run.system.wait(run.system.add_many(many))
            rates.append(run.count / (time.perf_counter() - began))
        _compare(results, many)
    return {"rate": statistics.median(rates), **meter.figures(run.count * run.repeats)}


def in_a_row(run: Run) -> Figures:
    run.warm_up()
    many, took, results, meter = run.data(), [], [], run.meter()
    with meter:
        for data in many:
            began = time.perf_counter()
            results.append(run.system.call(data))
            took.append(1000 * (time.perf_counter() - began))
    _compare(results, many)
    p95 = statistics.quantiles(took, n=20)[-1]
    return {"p50_ms": statistics.median(took), "p95_ms": p95, **meter.figures(run.count)}


def many_callers(run: Run) -> Figures:
    """Connections are counted when half of the tasks have been performed."""
    run.warm_up()
    many, meter = run.data(), run.meter()
    shares = [many[at::CALLERS] for at in range(CALLERS)]
    ready = threading.Barrier(CALLERS + 1)
    with ThreadPoolExecutor(CALLERS) as pool, meter:
        calls = [pool.submit(_call_each, run.system, share, ready) for share in shares]
        ready.wait(TIMEOUT)
        began = time.perf_counter()
        _wait_for_executions(run, run.added - run.count // 2)
        connections = connections_to(run.redis)
        results = [call.result(TIMEOUT) for call in calls]
        took = time.perf_counter() - began
    for result, share in zip(results, shares, strict=True):
        _compare(result, share)
    return {"rate": run.count / took, "connections": connections, **meter.figures(run.count)}


def _call_each(system: System, share: Sequence[Data], ready: threading.Barrier) -> list[Any]:
    ready.wait(TIMEOUT)
    return [system.call(data) for data in share]


PROGRAMS: dict[str, Callable[[Run], Figures]] = {
    program.__name__: program
    for program in (add_singly, add_in_bulk, drain, round_trip, in_a_row, many_callers)
}
WITHOUT_WORKER = {"add_singly", "add_in_bulk"}
WITHOUT_RESULTS = {"drain"}


# --- What must be true


def check_executions(run: Run) -> None:
    """Each task that was added was performed once."""
    if run.worker and run.ledger.executions != run.added:
        raise Wrong(f"{run.ledger.executions} executions of {run.added} tasks")


def _compare(results: Iterable[Any], expected: Iterable[Data]) -> None:
    for result, data in zip(results, expected, strict=True):
        if result != data:
            raise Wrong(f"a caller got {result!r}, and its own is {data!r}")


def _wait_for_executions(run: Run, count: int) -> None:
    until = time.monotonic() + TIMEOUT
    while run.ledger.executions < count:
        if time.monotonic() > until:
            raise Wrong(f"{run.ledger.executions} executions of {run.added} tasks in {TIMEOUT} s")
        time.sleep(0.001)
