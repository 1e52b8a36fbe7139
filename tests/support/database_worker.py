"""
A worker over a SQLite file, as a program: it says when it is ready, works until the queue is empty
for a second, and says how many tasks it performed. What the database refuses is not tried again.

Arguments: the file, its journal, the queue, most tasks of a batch.
"""

import os
import sys
import time
from pathlib import Path

import django

WORK_SECONDS = 0.02
"""What a batch takes: so all workers are wanted, whoever woke first."""


def work(alias: str, queue: str, most: int) -> int:
    from django_task_helpers.couriers.database import DatabaseWorkerTaskCourier

    worker, performed = DatabaseWorkerTaskCourier(alias, retry_seconds=0), 0
    while True:
        try:
            tasks = worker.bulk_wait_for_tasks(queue, most, timeout=1 if performed else 30)
        except TimeoutError:
            return performed
        time.sleep(WORK_SECONDS)
        worker.bulk_return_task_results(queue, [(task_id, data + 1) for task_id, data in tasks])
        performed += len(tasks)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sys.path.append(str(Path(__file__).resolve().parents[2] / "testproject"))
    django.setup()
    from tests.support.databases import sqlite

    path, journal, queue, most = sys.argv[1:]
    with sqlite("work", Path(path), journal) as alias:
        print("ready")
        print(work(alias, queue, int(most)))
