"""Redis crashes, is away for long, is full of other troubles: each under load."""

from __future__ import annotations

from contextlib import ExitStack

from tests.faults import cuts, failover, troubles
from tests.faults.context import Context
from tests.faults.crashes import crash, crashes, start_workers
from tests.faults.load import Load, last, named, unharmed
from tests.faults.report import Figure, none, told

LEASE = 2.0
ON_DISK = {"appendonly": "yes", "appendfsync": "always"}


def run(context: Context) -> list[Figure]:
    times = context.scaled(2, 20)
    return [
        *crashes(context, times, appendonly="yes", appendfsync="always"),
        *crashes(context, times, appendonly="yes", appendfsync="everysec"),
        *crashes_without_a_disk(context, times),
        *long_outage(context),
        *troubles.run(context),
        *cuts.run(context),
        *failover.run(context),
    ]


def crashes_without_a_disk(context: Context, times: int) -> list[Figure]:
    """What was in it is gone each time: callers add again, the others are told."""
    with context.field(lease=LEASE) as field:
        with Load(field) as load:
            start_workers(field)
            crash(context, field, times)
        unnamed = sum(
            isinstance(result, Exception) and type(result).__name__ != "TaskLost"
            for result in field.seen.values()
        )
        return named(
            f"{times} crashes without a disk",
            [
                *load.waiters(),
                none("awaited tasks neither answered nor named lost", unnamed),
                none("calls refused", sum(load.errors.values())),
            ],
        )


def long_outage(context: Context) -> list[Figure]:
    """Longer than two leases, while the workers are in the middle of their batches."""
    times, held = context.scaled(1, 5), 0
    with ExitStack() as stack:
        server = stack.enter_context(context.server(**ON_DISK))
        field = stack.enter_context(context.field(server=server, lease=LEASE))
        for _ in range(3):
            field.start(batch=20, batch_seconds=1.5, retry_seconds=0.2)
        for _ in range(times):
            before = len(field.ledger)
            field.await_results(field.add(60))
            field.wait_for_executions(before + 60)
            held += 60
            server.kill()
            last(2.5 * LEASE)
            server.start()
            hung = field.join()
        return named(
            f"{times} outages of 2.5 leases",
            [
                told("tasks that were being performed", held),
                none("waiters that hung", hung),
                unharmed(field),
                none("executions beyond the first", field.ledger.duplicates()),
            ],
        )
