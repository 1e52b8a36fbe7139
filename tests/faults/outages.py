"""Redis crashes, is away for long, is full of other troubles: each under load."""

from __future__ import annotations

from contextlib import ExitStack

from tests.faults import cuts, failover, troubles
from tests.faults.context import Context, Field
from tests.faults.load import Load, last, named, unharmed
from tests.faults.report import Figure, none, told

LEASE = 2.0
ON_DISK = {"appendonly": "yes", "appendfsync": "always"}


def run(context: Context) -> list[Figure]:
    return [
        *crashes(context, "always"),
        *crashes(context, "everysec"),
        *crashes_without_a_disk(context),
        *long_outage(context),
        *troubles.run(context),
        *cuts.run(context),
        *failover.run(context),
    ]


def crashes(context: Context, fsync: str) -> list[Figure]:
    """Killed with -9 and started again under load, with its data on disk."""
    settings = {"appendonly": "yes", "appendfsync": fsync}
    times = context.scaled(3, 20)
    with context.server(**settings) as server, context.field(server=server, lease=LEASE) as field:
        with Load(field) as load:
            _start_workers(field)
            _crash(context, field, times)
        prefix = f"{times} crashes, appendfsync {fsync}"
        return named(prefix, load.undisturbed())


def crashes_without_a_disk(context: Context) -> list[Figure]:
    """What was in it is gone each time: callers add again, the others are told."""
    times = context.scaled(3, 20)
    with context.field(lease=LEASE) as field:
        with Load(field) as load:
            _start_workers(field)
            _crash(context, field, times)
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


def _start_workers(field: Field) -> None:
    for _ in range(2):
        field.start(batch=50, task_seconds=0.001)
    field.wait_for_executions(100)


def _crash(context: Context, field: Field, times: int) -> None:
    for _ in range(times):
        field.wait_for_executions(len(field.ledger) + context.random.randint(1, 300))
        field.server.kill()
        field.server.start()
    field.wait_for_executions(len(field.ledger) + 100)


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
