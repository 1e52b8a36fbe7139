"""Workers killed with -9 at random moments, and hosts lost with all that ran on them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from tests.faults.context import Context, Field, WorkerProcess
from tests.faults.recoveries import Kill, recoveries
from tests.faults.report import Figure, at_most, none, percentile, told
from tests.support.waiting import wait_until

LEASE = 2.0
PROCESSES = 4
BATCH = 100
BATCH_SECONDS = 0.2


def run(context: Context) -> list[Figure]:
    return supervised_kills(context)


def supervised_kills(context: Context) -> list[Figure]:
    """
    The k-th kill comes when a random number of executions is on record, and a random part of a
    batch later, so that all of them come under load.
    """
    tasks, kills = context.scaled((4_000, 12), (100_000, 200))
    job = {"batch": BATCH, "batch_seconds": BATCH_SECONDS, "processes": PROCESSES}
    with context.field(lease=LEASE, **job) as field:
        task_ids = field.add(tasks)
        worker = field.start()
        field.await_results(task_ids, seconds=300)
        moments = sorted(context.random.randrange(tasks) for _ in range(kills))
        done = [_kill_at(moment, field, worker, context) for moment in moments]
        hung = field.join()
        code = worker.stop()
        return _figures(field, done, hung, code)


def _kill_at(moment: int, field: Field, worker: WorkerProcess, context: Context) -> Kill:
    field.wait_for_executions(moment)
    time.sleep(context.random.uniform(0, BATCH_SECONDS))
    pid = context.random.choice(wait_until(worker.children))
    with suppress(ProcessLookupError):  # it died of an earlier kill
        os.kill(pid, signal.SIGKILL)
    return Kill.now(pid)


def _figures(field: Field, kills: Sequence[Kill], hung: int, code: int) -> list[Figure]:
    hit = recoveries(field.ledger, kills)
    first = percentile((recovery.first for recovery in hit), 99)
    whole = percentile((recovery.last for recovery in hit), 99)
    return [
        told("tasks", len(field.numbers)),
        told("kills -9", len(kills)),
        told("kills that hit a batch", len(hit)),
        *field.judge().figures(),
        none("waiters that hung", hung),
        at_most("duplicate executions", field.ledger.duplicates(), len(kills) * BATCH),
        at_most("supervised recovery, first task again, p99", first, 0.5, "s"),
        at_most("supervised recovery, whole batch again, p99", whole, 0.5, "s"),
        none("exit code of the supervisor", code),
    ]
