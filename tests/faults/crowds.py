"""Several processes that work on one store as fast as they can, and are in each other's way."""

from __future__ import annotations

from tests.faults.context import PATIENCE, Context, Field
from tests.faults.load import named
from tests.faults.report import Figure, at_least, none, told
from tests.support.waiting import Stopwatch, wait_until

PROCESSES = 4
REFUSED = ("database is locked", "database table is locked", "deadlock", "Traceback", "ERROR")
"""What no log may hold."""


def run(context: Context) -> list[Figure]:
    journals = ("wal", "delete")
    return [figure for journal in journals for figure in crowd(context, journal)]


def crowd(context: Context, journal: str) -> list[Figure]:
    """
    Threads await a backlog before the first worker is there; then all work while as many tasks are
    being added. To look for all of them takes longer than the pause between two looks.
    """
    count, batch, part = context.scaled((3_000, 50, 250), (100_000, 500, 1_000))
    with (
        context.server(journal=journal) as server,
        context.field(server=server, lease=30.0, batch=batch) as field,
    ):
        some_time = context.scaled(0.02, 0.0)  # so few tasks are done before all have woken up
        watch = Stopwatch()
        field.await_results(field.add(count), seconds=600, part=part)
        workers = [field.start(batch_seconds=some_time) for _ in range(PROCESSES)]
        wait_until(lambda: _reported(field) == PROCESSES, PATIENCE)
        field.await_results(field.add(count), seconds=600, part=part)
        hung = field.join()
        seconds = watch.seconds
        codes = [worker.stop() for worker in workers]
        figures = [
            told("tasks", 2 * count),
            told("threads that wait for them", 2 * count // part),
            *field.judge().figures(),
            none("waiters that hung", hung),
            none("executions beyond the first", field.ledger.duplicates()),
            none("errors and locks in the logs", sum(map(field.logged, REFUSED))),
            none("worker exits that were none in order", sum(map(bool, codes))),
            at_least("processes that had a part in it", _processes(field), PROCESSES),
            told("until all results were read", seconds, "s"),
            told("tasks a second", 2 * count / seconds),
        ]
    return named(f"{PROCESSES} processes, journal {journal}", figures)


def _reported(field: Field) -> int:
    return len(field.client.get_queue_stats(field.queue).workers)


def _processes(field: Field) -> int:
    return len({execution.pid for execution in field.ledger.executions()})
