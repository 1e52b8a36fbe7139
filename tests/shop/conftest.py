"""The example shop with its tasks kept in memory, and a worker that runs when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer

import pytest
from django.test import Client

from django_task_helpers.workers import build_worker
from tests.support.waiting import PATIENCE

MEMORY = "task_helpers.couriers.memory.MemoryClientWorkerTaskCourier"

Work = Callable[..., None]


@pytest.fixture(autouse=True)
def tasks_in_memory(settings) -> None:
    couriers = {"default": {"BACKEND": MEMORY}}
    settings.TASK_HELPERS = {**settings.TASK_HELPERS, "COURIERS": couriers}


@pytest.fixture
def client() -> Client:
    """A client that Django's CSRF protection holds for a browser."""
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def work(db: None) -> Work:
    """
    Performs so many tasks of a queue here, in the thread that the test's transaction belongs to;
    whoever waits for the results does so in a thread.
    """

    def perform(queue_name: str, tasks: int = 1) -> None:
        worker = build_worker(queue_name, max_tasks=tasks)
        watchdog = Timer(PATIENCE, worker.stop)
        watchdog.start()
        worker.perform()
        watchdog.cancel()
        assert worker.tasks_performed == tasks

    return perform
