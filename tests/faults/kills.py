"""Workers killed with -9: at random moments, with their host, or left behind by a supervisor."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from tests.faults.context import Context, Field, WorkerProcess
from tests.faults.hosts import LEASE, lost_hosts, lost_supervisors
from tests.faults.recoveries import Inquest, Kill, Recovery
from tests.faults.report import Figure, at_most, none, percentile, told
from tests.support.waiting import wait_until

PROCESSES = 6
BATCH = 50
TASK_SECONDS = 0.004
FULL = {"redis": (100_000, 200)}
"""Tasks and kills; of other stores fewer."""

RECOVERED = {"redis": 0.5}
"""Seconds until the tasks are performed again. Of other stores: sooner than by the lease."""


def run(context: Context) -> list[Figure]:
    return [*supervised_kills(context), *lost_hosts(context), *lost_supervisors(context)]


def supervised_kills(context: Context) -> list[Figure]:
    """
    The k-th kill comes when a random number of executions is on record, and a random part of a
    batch later, so that all of them come under load.
    """
    tasks, kills = context.scaled((4_000, 8), FULL.get(context.kind, (10_000, 50)))
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
        limit = context.limit(RECOVERED.get(context.kind, LEASE))
        return _figures(field, done, hung, code, limit)


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
