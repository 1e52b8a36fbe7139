"""Several processes over one SQLite file: no trouble with its lock, and each gets its share."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers.database import DatabaseClientTaskCourier
from tests.support.databases import sqlite
from tests.support.programs import running

QUEUE, WORKERS, TASKS, BATCH, PATIENCE = "shared", 4, 2_000, 20, 60


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_four_workers_share_the_work_of_a_file(
    journal: str, tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> None:
    path = tmp_path / "tasks.sqlite3"
    with django_db_blocker.unblock(), sqlite("file", path, journal) as alias, ExitStack() as stack:
        # given four workers that wait
        workers = [
            stack.enter_context(
                running("database_worker.py", str(path), journal, QUEUE, str(BATCH))
            )
            for _ in range(WORKERS)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        # when a client adds tasks, for a hundred batches, and waits for their results
        client = DatabaseClientTaskCourier(alias)
        task_ids = client.bulk_add_tasks_to_queue(QUEUE, range(TASKS))
        results = client.bulk_wait_for_task_results(QUEUE, task_ids, timeout=PATIENCE)
        # then they are right, and each worker performed some of all
        assert results == list(range(1, TASKS + 1))
        performed = [said_by(worker) for worker in workers]
        assert sum(performed) == TASKS
        assert min(performed) > TASKS / WORKERS / 5, performed


def said_by(worker: subprocess.Popen[str]) -> int:
    output, _ = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, output
    return int(output)
