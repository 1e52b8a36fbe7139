"""Huey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huey import RedisHuey

from ledger import Ledger
from system import TIMEOUT, Data, System

ledger: Ledger


def perform(data: Data) -> Data:
    ledger.add(1)
    return data


class Measured(System):
    packages = ("huey", "redis", "hiredis")
    settings = "one worker thread, blocking reads, notify_result, no periodic tasks"
    share = 0.1

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        self._huey = RedisHuey("bench", url=url, results=results, notify_result=True)
        self._task = self._huey.task()(perform)

    def add(self, data: Data) -> Any:
        return self._task(data)

    def wait(self, added: Sequence[Any]) -> list[Any]:
        return [result.get(blocking=True, timeout=TIMEOUT) for result in added]

    def work(self, own_ledger: Ledger) -> None:
        global ledger
        ledger = own_ledger
        self._huey.create_consumer(workers=1, worker_type="thread", periodic=False).run()
