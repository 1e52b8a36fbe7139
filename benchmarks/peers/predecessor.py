"""The published package that this one comes from, `pip install task-helpers`, version 1."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import redis

from ledger import Ledger
from system import TIMEOUT, Data, System
from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from task_helpers.workers.base import BaseWorker

QUEUE = "bench"
POLL = 0.001


class NoOpWorker(BaseWorker):
    queue_name = QUEUE
    max_tasks_per_iteration = 500
    empty_queue_sleep_time = POLL
    after_iteration_sleep_time = 0
    ledger: Ledger

    def perform_tasks(self, tasks: list[Any]) -> list[Any]:
        self.ledger.add(len(tasks))
        return tasks


class Measured(System):
    packages = ("task-helpers", "redis", "hiredis")
    settings = "batches of 500, both sides poll every 1 ms instead of 100"
    share = 0.5

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        client = redis.Redis.from_url(url)
        self._courier = RedisClientTaskCourier(client, refresh_timeout=POLL)

    def add(self, data: Data) -> Any:
        return self._courier.add_task_to_queue(QUEUE, data)

    def add_many(self, many: Sequence[Data]) -> list[Any]:
        return self._courier.bulk_add_tasks_to_queue(QUEUE, many)

    def wait(self, added: Sequence[Any]) -> list[Any]:
        wait = self._courier.wait_for_task_result
        return [wait(QUEUE, task_id, timeout=TIMEOUT) for task_id in added]

    def work(self, ledger: Ledger) -> None:
        courier = RedisWorkerTaskCourier(redis.Redis.from_url(self.url))
        worker = NoOpWorker(courier, ledger=ledger, needs_result_returning=self.results)
        worker.perform(total_iterations=sys.maxsize)
