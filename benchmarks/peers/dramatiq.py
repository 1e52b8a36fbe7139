"""Dramatiq with its Redis broker and result backend."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

os.environ["dramatiq_queue_prefetch"] = "500"  # noqa: SIM112 - it is read so

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from ledger import Ledger
from system import TIMEOUT, Data, System

ledger: Ledger


def perform(data: Data) -> Data:
    ledger.add(1)
    return data


class Measured(System):
    packages = ("dramatiq", "redis", "hiredis")
    settings = "one worker thread, 500 prefetched, worker_timeout 10 ms (how long it sleeps idle)"
    share = 0.1

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        self._broker = RedisBroker(url=url)
        self._backend = RedisBackend(url=url)
        if results:
            self._broker.add_middleware(Results(backend=self._backend))
        options = {"store_results": True} if results else {}
        self._actor = dramatiq.actor(perform, broker=self._broker, **options)

    def add(self, data: Data) -> Any:
        return self._actor.send(data)

    def wait(self, added: Sequence[Any]) -> list[Any]:
        how = {"backend": self._backend, "block": True, "timeout": int(1000 * TIMEOUT)}
        return [message.get_result(**how) for message in added]

    def work(self, own_ledger: Ledger) -> None:
        global ledger
        ledger = own_ledger
        dramatiq.Worker(self._broker, worker_threads=1, worker_timeout=10).start()
        threading.Event().wait()
