"""RQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from rq import Queue, SimpleWorker

from ledger import Ledger
from system import TIMEOUT, Data, System

ledger: Ledger


def perform(data: Data) -> Data:
    ledger.add(1)
    return data


class Measured(System):
    packages = ("rq", "redis", "hiredis")
    settings = "SimpleWorker, which does not fork for each job; enqueue_many for bulk"
    share = 0.05

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        self._redis = redis.Redis.from_url(url)
        self._queue = Queue("bench", connection=self._redis)
        self._result_ttl = 500 if results else 0

    def add(self, data: Data) -> Any:
        return self._queue.enqueue_call(perform, (data,), result_ttl=self._result_ttl)

    def add_many(self, many: Sequence[Data]) -> list[Any]:
        prepare = self._queue.prepare_data
        jobs = [prepare(perform, (data,), result_ttl=self._result_ttl) for data in many]
        return self._queue.enqueue_many(jobs)

    def wait(self, added: Sequence[Any]) -> list[Any]:
        return [job.latest_result(timeout=int(TIMEOUT)).return_value for job in added]

    def work(self, own_ledger: Ledger) -> None:
        global ledger
        ledger = own_ledger
        SimpleWorker([self._queue], connection=self._redis).work(logging_level="ERROR")
