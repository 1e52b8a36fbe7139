"""A server that is killed with -9 and started again under load, with its data on disk."""

from __future__ import annotations

from tests.faults.context import Context, Field
from tests.faults.load import Load, named
from tests.faults.report import Figure

LEASE = 2.0


def run(context: Context) -> list[Figure]:
    return crashes(context, context.scaled(2, 10))


def crashes(context: Context, times: int, **settings: str) -> list[Figure]:
    with context.server(**settings) as server, context.field(server=server, lease=LEASE) as field:
        with Load(field) as load:
            start_workers(field)
            crash(context, field, times)
        how = ", ".join([f"{times} crashes", *(f"{name} {how}" for name, how in settings.items())])
        return named(how, load.undisturbed())


def start_workers(field: Field) -> None:
    for _ in range(2):
        field.start(batch=50, task_seconds=0.001)
    field.wait_for_executions(100)


def crash(context: Context, field: Field, times: int) -> None:
    for _ in range(times):
        field.wait_for_executions(len(field.ledger) + context.random.randint(1, 300))
        field.server.kill()
        field.server.start()
    field.wait_for_executions(len(field.ledger) + 100)
