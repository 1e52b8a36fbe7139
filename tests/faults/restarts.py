"""Workers that are told to stop: under load, idle, while a batch fills, impatiently."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.context import PATIENCE, Context, Field, WorkerProcess
from tests.faults.report import Figure, at_most, exactly, none, told
from tests.support.waiting import Stopwatch, in_thread, wait_until

BATCH = 100
BATCH_SECONDS = 0.05
LINGER = 2.0
IMPATIENT_CODE = 128 + signal.SIGTERM


def run(context: Context) -> list[Figure]:
    return [
        *rolling_restarts(context),
        *idle_exits(context),
        *lingering_exits(context),
        *impatient_exits(context),
    ]


def rolling_restarts(context: Context) -> list[Figure]:
    """Two services of two worker processes each, one of which is always at work."""
    restarts = context.scaled(6, 100)
    job = {"batch": BATCH, "batch_seconds": BATCH_SECONDS, "processes": 2}
    with context.field(**job) as field:
        services = [field.start(), field.start()]
        with _load(field):
            exits = [_restart(at % 2, services, field, context) for at in range(restarts)]
        hung = field.join()
        codes = [code for code, _ in exits] + [service.stop() for service in services]
        return [
            told("rolling restarts by SIGTERM under load", restarts),
            told("tasks meanwhile", len(field.numbers)),
            *field.judge().figures(),
            none("waiters that hung", hung),
            none("duplicate executions", field.ledger.duplicates()),
            none("exits with an error", sum(code != 0 for code in codes)),
            told("exit under load, max", max(seconds for _, seconds in exits), "s"),
        ]


@contextmanager
def _load(field: Field) -> Iterator[None]:
    """Callers that come all the time, until the end."""
    over = threading.Event()

    def call() -> None:
        while not over.wait(0.02):
            field.await_results(field.add(50))

    calls = in_thread(call)
    try:
        yield
    finally:
        over.set()
        calls.result(PATIENCE)


def _restart(
    at: int, services: list[WorkerProcess], field: Field, context: Context
) -> tuple[int, float]:
    """As a service manager does: SIGTERM to the supervisor alone or to all of its processes."""
    service, to_all = services[at], context.random.random() < 0.5
    _wait_until_it_performs(service, field)
    time.sleep(context.random.uniform(0, 2 * BATCH_SECONDS))
    watch = Stopwatch()
    if to_all:
        os.killpg(service.pid, signal.SIGTERM)
    else:
        service.signal(signal.SIGTERM)
    code, seconds = service.wait(), watch.seconds
    services[at] = field.start()
    return code, seconds


def _wait_until_it_performs(service: WorkerProcess, field: Field) -> None:
    start = len(field.ledger)

    def performs() -> bool:
        children = service.children()
        return any(e.pid in children for e in field.ledger.executions(start))

    wait_until(performs, PATIENCE)


def idle_exits(context: Context) -> list[Figure]:
    seconds, codes = [], []
    for processes in (0, 2) * context.scaled(1, 10):
        with context.field(processes=processes) as field:
            worker = field.start()
            _wait_until_idle(field, max(1, processes))
            time.sleep(context.random.uniform(0, 1))
            watch = Stopwatch()
            codes.append(worker.stop())
            seconds.append(watch.seconds)
    return [
        told("SIGTERM while idle", len(seconds)),
        at_most("  exit, max", max(seconds), context.limit(1), "s"),
        none("  exits with an error", sum(map(bool, codes))),
    ]


def _wait_until_idle(field: Field, workers: int) -> None:
    wait_until(lambda: len(field.client.get_queue_stats(field.queue).workers) == workers, PATIENCE)


def lingering_exits(context: Context) -> list[Figure]:
    """A batch that fills is nobody's yet: whoever stops either performs it or leaves it."""
    seconds, broken, duplicates, rounds = [], 0, 0, context.scaled(2, 6)
    for processes in itertools.islice(itertools.cycle((0, 2)), rounds):
        with context.field(processes=processes, linger=LINGER) as field:
            worker = field.start()
            _wait_until_idle(field, max(1, processes))
            field.await_results(field.add(10))
            time.sleep(context.random.uniform(0, LINGER))
            watch = Stopwatch()
            worker.stop()
            seconds.append(watch.seconds)
            field.start()
            broken += bool(field.join() or field.judge().broken())
            duplicates += field.ledger.duplicates()
    return [
        told(f"SIGTERM while a batch fills for {LINGER:g} s", rounds),
        at_most("  exit, max", max(seconds), context.limit(1), "s"),
        none("  runs with a task lost, wrong or left behind", broken),
        none("  duplicate executions", duplicates),
    ]


def impatient_exits(context: Context) -> list[Figure]:
    """The second SIGTERM comes in the middle of a batch, which is given back."""
    seconds, codes, broken, duplicates = [], [], 0, 0
    rounds = context.scaled(2, 6)
    for processes in itertools.islice(itertools.cycle((0, 2)), rounds):
        with context.field(batch=BATCH) as field:
            field.await_results(field.add(BATCH))
            worker = field.start(processes=processes, batch_seconds=60.0)
            field.wait_for_executions(BATCH)
            watch = Stopwatch()
            worker.signal(signal.SIGTERM)
            time.sleep(context.random.uniform(0.05, 0.3))
            codes.append(worker.stop())
            seconds.append(watch.seconds)
            watch = Stopwatch()
            field.start()
            broken += bool(field.join() or field.judge().broken())
            duplicates += field.ledger.duplicates()
    return [
        told("SIGTERM twice in a batch", rounds),
        at_most("  exit, max", max(seconds), context.limit(1.3), "s"),
        exactly("  exits with 143", codes.count(IMPATIENT_CODE), rounds),
        none("  runs with a task lost, wrong or left behind", broken),
        exactly("  executions given back", duplicates, rounds * BATCH),
    ]
