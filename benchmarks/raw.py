"""
The raw limit: the least that redis-py can do for the same job, with nothing that makes it safe.

One list of tasks, one list of replies per client. A worker that dies loses its batch, a lost reply
is lost, nothing expires. Tasks and replies go 500 at a time; of a reply whose caller is another
thread, one reader wakes that thread.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from queue import SimpleQueue
from typing import Any

import msgpack
import redis

from ledger import Ledger
from system import TIMEOUT, Data, System

QUEUE = "raw"
BATCH = 500

Reply = tuple[int, Any]


class Measured(System):
    packages = ("redis", "hiredis", "msgpack")
    settings = "RPUSH and (B)LPOP of 500, msgpack, one list of replies per client"

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        self._redis = redis.Redis.from_url(url)
        self._replies = f"raw:{os.getpid()}" if results else ""
        self._ids = count()
        self._callers: dict[int, SimpleQueue[Any]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._starting = threading.Lock()

    # --- The client

    def add(self, data: Data) -> int:
        task_id = next(self._ids)
        self._redis.rpush(QUEUE, self._packed(task_id, data))
        return task_id

    def add_many(self, many: Sequence[Data]) -> list[int]:
        task_ids = list(islice(self._ids, len(many)))
        for at in range(0, len(many), BATCH):
            pairs = zip(task_ids[at : at + BATCH], many[at : at + BATCH], strict=True)
            self._redis.rpush(QUEUE, *(self._packed(*pair) for pair in pairs))
        return task_ids

    def wait(self, added: Sequence[int]) -> list[Any]:
        replies: dict[int, Any] = {}
        while len(replies) < len(added):
            replies.update(self._take_replies())
        return [replies[task_id] for task_id in added]

    def call(self, data: Data) -> Any:
        """A caller alone reads its reply itself; only of several must one read for all."""
        if threading.current_thread() is threading.main_thread():
            return self.wait([self.add(data)])[0]
        self._ensure_reader()
        task_id, caller = next(self._ids), SimpleQueue[Any]()
        self._callers[task_id] = caller
        self._redis.rpush(QUEUE, self._packed(task_id, data))
        return caller.get(timeout=TIMEOUT)

    def _packed(self, task_id: int, data: Data) -> bytes:
        return msgpack.packb((task_id, self._replies, data))

    def _take_replies(self) -> Iterator[Reply]:
        return map(msgpack.unpackb, _take(self._redis, self._replies))

    def _ensure_reader(self) -> None:
        if self._reader.ident is None:
            with self._starting:
                if self._reader.ident is None:
                    self._reader.start()

    def _read(self) -> None:
        while True:
            for task_id, result in self._take_replies():
                self._callers.pop(task_id).put(result)

    # --- The worker

    def work(self, ledger: Ledger) -> None:
        while True:
            tasks = [msgpack.unpackb(item) for item in _take(self._redis, QUEUE)]
            ledger.add(len(tasks))
            if self.results:
                self._return(tasks)

    def _return(self, tasks: Iterable[tuple[int, str, Data]]) -> None:
        replies: dict[str, list[bytes]] = defaultdict(list)
        for task_id, reply_to, data in tasks:
            replies[reply_to].append(msgpack.packb((task_id, data)))
        for reply_to, items in replies.items():
            self._redis.rpush(reply_to, *items)


def _take(client: redis.Redis, key: str) -> list[bytes]:
    """At least one, waiting for it if need be, and up to a batch."""
    while not (items := client.lpop(key, BATCH)):
        if item := client.blpop([key], timeout=1):
            return [item[1]]
    return items
