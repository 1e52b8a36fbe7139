"""Tasks in a Redis of one's own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import redis

from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from tests.support.servers import RedisServer

INDEXES = ("m", "p", "z", "s1", "s2", "d", "l", "c")


class RedisStore(RedisServer):
    kind = "redis"

    @property
    def address(self) -> int:
        return self.port

    def courier(self) -> RedisClientTaskCourier:
        return RedisClientTaskCourier(self.client())

    def takes_writes(self) -> bool:
        return True

    def leftovers(self, queue: str) -> list[str]:
        base = f"task_helpers:{{{queue}}}:"
        with self.client() as connection:
            names = {key.decode("latin1") for key in connection.scan_iter(f"{base}*")}
        return [name for name in names if _is_index(name.removeprefix(base))]


def opened(
    kind: str, folder: Path, settings: dict[str, str]
) -> AbstractContextManager[RedisServer]:
    return RedisStore(folder, **settings)


def worker_courier(address: int, **options: Any) -> RedisWorkerTaskCourier:
    return RedisWorkerTaskCourier(redis.Redis(port=address), **options)


def _is_index(name: str) -> bool:
    return name in INDEXES or name.startswith("b:")
