"""Two workers that return the same task at the same moment, each over a connection of its own."""

from __future__ import annotations

import time
from random import Random
from threading import Barrier
from typing import Any
from uuid import UUID

from tests.faults.context import PATIENCE, Context
from tests.faults.load import quietly
from tests.faults.report import Figure, at_least, exactly, none, told
from tests.support.waiting import in_thread

QUEUE = "races"
NAMES = ("one", "other")
APART = 0.001
"""Seconds, at the most: less than it takes to end a task."""


def run(context: Context) -> list[Figure]:
    """Each returns the tasks one by one, in the same order; the winner is in the result."""
    tries = context.scaled(200, 1_000)
    with quietly(), context.server() as store:
        client = store.courier()
        task_ids = client.bulk_add_tasks_to_queue(QUEUE, range(tries))
        start = Barrier(len(NAMES))
        chances = {name: Random(context.random.random()) for name in NAMES}
        racing = [in_thread(race, store, start, name, task_ids, chances[name]) for name in NAMES]
        for racer in racing:
            racer.result(5 * PATIENCE)
        first, again = (read(client, task_ids) for _ in range(2))
        wins = [first.count(name) for name in NAMES]
        client.close()
        return [
            told("tasks that both returned at once", tries),
            exactly("results", sum(wins), tries),
            none("results that were another one when read again", differ(first, again)),
            exactly("tasks counted as done", client.get_queue_stats(QUEUE).done, tries),
            none("tables with something left behind", len(store.leftovers(QUEUE))),
            at_least("results of the one that won less often", min(wins), 1),
        ]


def race(store: Any, start: Barrier, name: str, task_ids: list[UUID], chance: Random) -> None:
    courier = store.worker()
    if name == NAMES[0]:
        while courier.get_tasks(QUEUE, 500):
            pass
    for task_id in task_ids:
        start.wait(PATIENCE)
        time.sleep(chance.uniform(0, APART))
        courier.bulk_return_task_results(QUEUE, [(task_id, name)])
    courier.close()


def read(client: Any, task_ids: list[UUID]) -> list[Any]:
    results: list[Any] = client.bulk_wait_for_task_results(
        QUEUE, task_ids, delete_data=False, timeout=PATIENCE
    )
    return results


def differ(first: list[Any], again: list[Any]) -> int:
    return sum(one != other for one, other in zip(first, again, strict=True))
