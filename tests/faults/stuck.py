"""Batches that never end: a deadlock that happens once, and a task that always runs into one."""

from __future__ import annotations

from contextlib import AbstractContextManager

from tests.faults.context import Context, Field
from tests.faults.report import Figure, at_least, at_most, exactly, none, told
from tests.support.waiting import Stopwatch

LIMIT = 1.0
TASKS = 50
DEATHS = 5
"""In the batch, in a part of it, and three times alone."""


def run(context: Context) -> list[Figure]:
    rounds = context.scaled(1, 10)
    return [*deadlocks(context, rounds), *always_stuck(context)]


def deadlocks(context: Context, rounds: int) -> list[Figure]:
    """A deadlock in the middle of a batch, which does not come again."""
    with _field(context) as field:
        field.start(processes=1)
        hung, seconds = 0, list[float]()
        for at in range(rounds):
            watch = Stopwatch()
            mark = str(field.folder / f"{at}.mark")
            task_id = field.add_deed("once", [mark, "deadlock", None])
            field.await_results([task_id, *field.add(TASKS)])
            hung += field.join()
            seconds.append(watch.seconds)
        return [
            told(f"deadlocks, max_batch_seconds = {LIMIT:g}", rounds),
            exactly("  exits with code 70", field.logged("ended with exit code 70"), rounds),
            at_least("  stacks on stderr that show the deadlock", _stacks(field), rounds),
            *field.judge().figures(),
            none("  waiters that hung", hung),
            at_most("  until all had a result, max", max(seconds), context.limit(LIMIT + 2), "s"),
        ]


def always_stuck(context: Context) -> list[Figure]:
    with _field(context) as field:
        field.add(TASKS // 2)
        stuck = field.add_deed("deadlock")
        field.add(TASKS // 2)
        field.await_results(field.numbers)
        watch = Stopwatch()
        field.start(processes=1)
        hung = field.join()
        verdict = field.judge()
        return [
            told(f"a task that never ends, among {TASKS}", 1),
            exactly("  its waiter was told WorkerLost", len(verdict.worker_lost() & {stuck}), 1),
            exactly("  dead letters", verdict.dead, 1),
            none("  neighbours that failed", len(set(verdict.failed) - {stuck})),
            none("  tasks without an end", len(verdict.lost)),
            none("  waiters that hung", hung),
            at_most("  worker deaths", field.logged("ended with exit code 70"), DEATHS),
            told("  until all had an end", watch.seconds, "s"),
        ]


def _field(context: Context) -> AbstractContextManager[Field]:
    return context.field(max_batch_seconds=LIMIT, batch=TASKS, lease=2.0)


def _stacks(field: Field) -> int:
    """The stack of the main thread, in the function that does not come back."""
    return field.logged(" in wait")
