"""SAQ: coroutines on both sides."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

from saq import Queue, Worker
from saq.queue.redis import RedisQueue

from ledger import Ledger
from system import TIMEOUT, Data, System

POLL = 0.001
ledger: Ledger


async def perform(context: Any, *, data: Data) -> Data:
    ledger.add(1)
    return data


class Measured(System):
    packages = ("saq", "redis", "hiredis")
    settings = (
        "50 jobs at once; results polled every 1 ms; 64 threads as 64 coroutines of one event loop"
    )
    share = 0.1

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        self._ttl = 600 if results else -1
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._starting = threading.Lock()
        self._queue: Queue = RedisQueue.from_url(url)

    # --- The client

    def add(self, data: Data) -> str:
        return self._run(self._add(data))

    def add_many(self, many: Sequence[Data]) -> list[str]:
        return self._run(self._add_many(many))

    def wait(self, added: Sequence[str]) -> list[Any]:
        return self._run(asyncio.wait_for(self._wait(added), TIMEOUT))

    def call(self, data: Data) -> Any:
        return self._run(self._queue.apply("perform", TIMEOUT, POLL, data=data))

    async def _add(self, data: Data) -> str:
        job = await self._queue.enqueue("perform", data=data, ttl=self._ttl, timeout=0)
        return job.key

    async def _add_many(self, many: Sequence[Data]) -> list[str]:
        return await asyncio.gather(*map(self._add, many))

    async def _wait(self, added: Sequence[str]) -> list[Any]:
        """As `Queue.map` does."""
        results: dict[str, Any] = {}
        while remaining := [key for key in added if key not in results]:
            jobs = await self._queue.jobs(remaining)
            results |= {job.key: job.result for job in jobs if job and job.status == "complete"}
            await asyncio.sleep(POLL)
        return [results[key] for key in added]

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """A caller alone runs the event loop itself; several need one that runs in a thread."""
        if threading.current_thread() is threading.main_thread():
            return self._loop.run_until_complete(coroutine)
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    # --- The worker

    def work(self, own_ledger: Ledger) -> None:
        global ledger
        ledger = own_ledger
        worker = Worker(self._queue, functions=[perform], concurrency=50)
        self._loop.run_until_complete(worker.start())
