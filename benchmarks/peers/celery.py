"""Celery with Redis as broker and as result backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery, shared_task

from ledger import Ledger
from system import TIMEOUT, Data, System

ledger: Ledger


@shared_task
def perform(data: Data) -> Data:
    ledger.add(1)
    return data


class Measured(System):
    packages = ("celery", "kombu", "redis", "hiredis")
    settings = "solo pool, acks_late off, 500 prefetched, no events, gossip, mingle or heartbeat"
    share = 0.1

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        self._app = Celery("bench", broker=url, backend=url)
        self._app.conf.update(
            task_ignore_result=not results,
            worker_prefetch_multiplier=500,
            worker_concurrency=1,
            worker_send_task_events=False,
            broker_connection_retry_on_startup=True,
        )
        self._app.set_default()

    def add(self, data: Data) -> Any:
        return perform.delay(data)

    def wait(self, added: Sequence[Any]) -> list[Any]:
        return [result.get(timeout=TIMEOUT) for result in added]

    def work(self, own_ledger: Ledger) -> None:
        global ledger
        ledger = own_ledger
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"]
        self._app.worker_main(["worker", "--pool", "solo", *quiet])
