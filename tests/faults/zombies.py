"""Workers that come back from the dead: stopped past their lease, then continued."""

from __future__ import annotations

from collections import Counter

from tests.faults.context import Context
from tests.faults.lanes import TASKS, Lane, run_lanes
from tests.faults.report import Figure, at_least, exactly, none


def run(context: Context) -> list[Figure]:
    rounds, few = context.scaled((4, 2), (200, 40))
    with context.server() as server:
        overtaken = run_lanes(context, server, rounds, Lane.overtaken)
        failing = run_lanes(context, server, few, Lane.failing)
        unnoticed = run_lanes(context, server, rounds, Lane.unnoticed, workers=1)
        starved = run_lanes(context, server, few, Lane.starved)
    return [
        *_figures("overtaken by another worker", overtaken, rounds),
        exactly("  batches whose late results were refused", overtaken["refused"], rounds),
        exactly("  duplicate executions", overtaken["duplicates"], rounds * TASKS),
        *_figures("failing a task that another one performs", failing, few),
        exactly("  errors raised", failing["errors"], few),
        exactly("  errors refused", failing["refused"], few),
        *_figures("nobody took the tasks meanwhile", unnoticed, rounds),
        none("  batches whose late results were refused", unnoticed["refused"]),
        none("  duplicate executions", unnoticed["duplicates"]),
        *_figures("lease thread starved by a C call", starved, few),
        at_least("  warnings in the log", starved["warned"], few),
    ]


def _figures(kind: str, tally: Counter[str], zombies: int) -> list[Figure]:
    return [
        exactly(f"zombies, {kind}", tally["zombies"], zombies),
        none("  results overwritten", tally["overwritten"]),
        none("  tasks lost, failed or left behind", tally["lost"]),
        none("  dead letters", tally["dead"]),
        none("  waiters that hung", tally["hung"]),
        exactly("  zombies that went on with new work", tally["resumed"], zombies),
    ]
