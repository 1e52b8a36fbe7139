"""Hosts lost with all that ran on them, and supervisors that leave their children behind."""

from __future__ import annotations

import signal
import time

from tests.faults.context import Context, Field
from tests.faults.recoveries import Inquest, Kill, Recovery
from tests.faults.report import Figure, at_most, exactly, none, told
from tests.support.processes import runs
from tests.support.waiting import Stopwatch, wait_until

LEASE = 2.0
HELD = 500
ORPHANS_BATCH_SECONDS = 0.5


def lost_hosts(context: Context) -> list[Figure]:
    """One host of two is killed in the middle of a batch: only the lease tells the other one."""
    hosts, limit = context.scaled(1, 5), context.limit(LEASE + 1)
    found: list[Recovery] = []
    duplicates = broken = 0
    for at in range(hosts):
        with context.field(f"host{at}", lease=LEASE, batch=HELD) as field:
            kill = _lose_host(field, context)
            broken += bool(field.join() or field.judge().broken())
            found += Inquest(field.ledger, [kill]).recoveries()
            duplicates += field.ledger.duplicates()
    slowest = max((recovery.last for recovery in found), default=float("nan"))
    return [
        exactly(f"hosts lost with a batch of {HELD}", len(found), hosts),
        none("  runs with a task lost, wrong, late or left behind", broken),
        at_most("  duplicate executions", duplicates, hosts * HELD),
        at_most(f"  lease {LEASE:g} s: whole batch begun again, max", slowest, limit, "s"),
    ]


def _lose_host(field: Field, context: Context) -> Kill:
    """The other host is there and has nothing to do when it happens."""
    held = field.add(HELD)
    host = field.start(processes=1, batch_seconds=60.0)
    field.await_results(held)
    field.wait_for_executions(HELD)
    field.start(processes=1, task_seconds=0.0002)
    field.await_results(field.add(10))
    field.wait_for_executions(HELD + 10)
    time.sleep(context.random.uniform(0, LEASE))
    [pid] = host.children()
    host.kill()
    return Kill.now(pid)


def lost_supervisors(context: Context) -> list[Figure]:
    """The supervisor alone is killed: its children end their batches and leave."""
    rounds, seconds, broken, duplicates = context.scaled(1, 5), list[float](), 0, 0
    for _ in range(rounds):
        with context.field("orphans", batch=100, batch_seconds=ORPHANS_BATCH_SECONDS) as field:
            field.await_results(field.add(1000))
            supervisor = field.start(processes=2)
            field.wait_for_executions(200)
            children = supervisor.children()
            supervisor.signal(signal.SIGKILL)
            supervisor.wait()
            watch = Stopwatch()
            wait_until(lambda left=children: not any(map(runs, left)), 30)
            seconds.append(watch.seconds)
            field.start()
            broken += bool(field.join() or field.judge().broken())
            duplicates += field.ledger.duplicates()
    limit = context.limit(ORPHANS_BATCH_SECONDS + 1)
    return [
        told("supervisors killed alone", rounds),
        at_most("  children gone after their batch, max", max(seconds), limit, "s"),
        none("  runs with a task lost, wrong, late or left behind", broken),
        none("  duplicate executions", duplicates),
    ]
