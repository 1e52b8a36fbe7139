"""This package, by its public API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import redis

from ledger import Ledger
from system import TIMEOUT, Data, System
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from task_helpers.tasks import Task
from task_helpers.workers.base import BaseWorker

QUEUE = "bench"


class NoOpWorker(BaseWorker):
    queue_name = QUEUE
    max_tasks_per_iteration = 500
    ledger: Ledger

    def perform_tasks(self, tasks: list[Task]) -> list[Task]:
        self.ledger.add(len(tasks))
        return tasks


class Measured(System):
    packages = ("redis", "hiredis", "msgpack")
    settings = "batches of 500, everything else by default"

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        self._courier = RedisClientTaskCourier(redis.Redis.from_url(url))

    def add(self, data: Data) -> UUID:
        return self._courier.add_task_to_queue(QUEUE, data)

    def add_many(self, many: Sequence[Data]) -> list[UUID]:
        return self._courier.bulk_add_tasks_to_queue(QUEUE, many)

    def wait(self, added: Sequence[UUID]) -> list[Any]:
        return self._courier.bulk_wait_for_task_results(QUEUE, added, timeout=TIMEOUT)

    def call(self, data: Data) -> Any:
        return self._courier.call(QUEUE, data, timeout=TIMEOUT)

    def work(self, ledger: Ledger) -> None:
        courier = RedisWorkerTaskCourier(redis.Redis.from_url(self.url))
        NoOpWorker(courier, ledger=ledger, needs_result_returning=self.results).perform()
