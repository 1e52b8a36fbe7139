"""Tasks that kill whoever performs them, among many that do not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID

from tests.faults.context import Context, Field
from tests.faults.report import Figure, at_most, exactly, none, told

PILLS = ("segfault", "exit", "memory", "segfault", "exit")
DEATHS_PER_PILL = 5


def run(context: Context) -> list[Figure]:
    tasks, pills = context.scaled((1_000, PILLS[:3]), (10_000, PILLS))
    job = {"batch": 500, "batch_seconds": 0.01, "lease": 2.0}
    with context.field(**job) as field:
        poisonous = _add_mixed(field, context, tasks, pills)
        began = time.monotonic()
        field.await_results(field.numbers, seconds=300)
        worker = field.start(processes=1)
        hung = field.join()
        seconds = time.monotonic() - began
        code = worker.stop()
        return _figures(field, poisonous, hung, code, seconds)


def _add_mixed(field: Field, context: Context, tasks: int, pills: Sequence[str]) -> set[UUID]:
    """The pills at random places."""
    places = sorted(context.random.sample(range(tasks), len(pills)))
    poisonous = set[UUID]()
    for place, pill in zip(places, pills, strict=True):
        field.add(place - len(field.numbers))
        poisonous.add(field.add_deed(pill))
    field.add(tasks - len(field.numbers))
    return poisonous


def _figures(
    field: Field, poisonous: set[UUID], hung: int, code: int, seconds: float
) -> list[Figure]:
    verdict = field.judge()
    named = verdict.worker_lost()
    deaths = field.logged("Worker process")
    results = len(field.numbers) - len(verdict.failed) - len(verdict.lost)
    return [
        told("tasks", len(field.numbers)),
        told("of these segfault, os._exit or are killed for memory", len(poisonous)),
        exactly("dead letters", verdict.dead, len(poisonous)),
        none("neighbours that failed", len(set(verdict.failed) - poisonous)),
        exactly("results", results, len(field.numbers) - len(poisonous)),
        none("tasks without an end", len(verdict.lost)),
        none("wrong results", len(verdict.wrong)),
        none("index keys left behind", len(verdict.left)),
        exactly("waiters of pills told WorkerLost", len(named & poisonous), len(poisonous)),
        none("waiters that hung", hung),
        at_most("worker deaths", deaths, DEATHS_PER_PILL * len(poisonous)),
        told("duplicate executions", field.ledger.duplicates()),
        told("until all had an end, one worker process", seconds, "s"),
        none("exit code of the supervisor", code),
    ]
