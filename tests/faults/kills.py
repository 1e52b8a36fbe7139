"""Workers killed with -9 at random moments, and hosts lost with all that ran on them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from tests.faults.context import Context, Field, WorkerProcess
from tests.faults.recoveries import Inquest, Kill, Recovery
from tests.faults.report import Figure, at_most, exactly, none, percentile, told
from tests.support.waiting import wait_until

LEASE = 2.0
PROCESSES = 6
BATCH = 50
TASK_SECONDS = 0.004


def run(context: Context) -> list[Figure]:
    return [*supervised_kills(context), *lost_hosts(context)]


def supervised_kills(context: Context) -> list[Figure]:
    """
    The k-th kill comes when a random number of executions is on record, and a random part of a
    batch later, so that all of them come under load.
    """
    tasks, kills = context.scaled((4_000, 8), (100_000, 200))
    job = {"batch": BATCH, "task_seconds": TASK_SECONDS, "processes": PROCESSES}
    with context.field(lease=LEASE, **job) as field:
        task_ids = field.add(tasks)
        worker = field.start()
        field.await_results(task_ids, seconds=600)
        moments = sorted(context.random.randrange(1, tasks) for _ in range(kills))
        done: list[Kill] = []
        for moment in moments:
            field.wait_for_executions(moment)
            time.sleep(context.random.uniform(0, BATCH * TASK_SECONDS))
            done.append(_kill_one(worker, done, context))
        hung = field.join()
        code = worker.stop()
        return _figures(field, done, hung, code, context.limit(0.5))


def _kill_one(worker: WorkerProcess, done: Sequence[Kill], context: Context) -> Kill:
    dead = {kill.pid for kill in done}
    pid = context.random.choice(wait_until(lambda: sorted({*worker.children()} - dead)))
    os.kill(pid, signal.SIGKILL)
    return Kill.now(pid)


def _figures(
    field: Field, kills: Sequence[Kill], hung: int, code: int, limit: float
) -> list[Figure]:
    inquest = Inquest(field.ledger, kills)
    hit = inquest.recoveries()
    return [
        told("tasks", len(field.numbers)),
        told("kills -9", len(kills)),
        told("of these in the middle of a batch", len(hit)),
        *field.judge().figures(),
        none("waiters that hung", hung),
        at_most("duplicate executions", field.ledger.duplicates(), len(kills) * BATCH),
        none("executions that no kill explains", inquest.unexplained()),
        told("executions of one task, most", max(field.ledger.counts().values())),
        *_recovery_figures(hit, limit),
        none("exit code of the supervisor", code),
    ]


def _recovery_figures(hit: Sequence[Recovery], limit: float) -> list[Figure]:
    first, last = [r.first for r in hit], [r.last for r in hit]
    return [
        told("recovery, first task begun again, p50", percentile(first, 50), "s"),
        at_most("recovery, first task begun again, p99", percentile(first, 99), limit, "s"),
        told("recovery, whole batch begun again, p50", percentile(last, 50), "s"),
        at_most("recovery, whole batch begun again, p99", percentile(last, 99), limit, "s"),
        told("recovery, whole batch begun again, max", percentile(last, 100), "s"),
    ]


def lost_hosts(context: Context) -> list[Figure]:
    """One host of two is killed with its supervisor: only the lease tells the other one."""
    hosts, limit = context.scaled(1, 5), context.limit(LEASE + 1)
    found: list[Recovery] = []
    duplicates, hung = 0, 0
    for at in range(hosts):
        with context.field(f"host{at}", lease=LEASE, batch=500) as field:
            recovery, hangs = _lose_host(field)
            found += recovery
            hung += hangs
            duplicates += field.ledger.duplicates()
            verdict = field.judge()
            assert not verdict.broken(), verdict.broken()
    return [
        exactly("hosts lost with a batch of 500", len(found), hosts),
        none("waiters that hung", hung),
        at_most("duplicate executions", duplicates, hosts * 500),
        at_most("recovery by lease, whole batch, max", max(r.last for r in found), limit, "s"),
    ]


def _lose_host(field: Field) -> tuple[list[Recovery], int]:
    held = field.add(500)
    host = field.start(processes=1, batch_seconds=60.0)
    field.await_results(held)
    field.wait_for_executions(500)
    other = field.start(processes=1, task_seconds=0.0002)
    field.await_results(field.add(10))
    field.wait_for_executions(510)
    [pid] = host.children()
    host.kill()
    kill = Kill.now(pid)
    hung = field.join()
    other.stop()
    return Inquest(field.ledger, [kill]).recoveries(), hung
