import asyncio
import os
import time

from redis import Redis

from shop.workers import BulkSaveWorker  # noqa: F401  the worker of another app
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.base_async import BaseAsyncWorker

GATE = f"{os.environ.get('TASK_PREFIX', 'task_helpers')}:gate"


class Nameless(BaseWorker):
    """Has no queue of its own."""


class GatedWorker(BaseWorker):
    """Says that it began a batch and that it was told to stop; ends a batch at an open gate."""

    queue_name = "gated"
    note: str
    told_to_stop = False

    def stop(self):
        super().stop()
        self.told_to_stop = True

    def perform_tasks(self, tasks):
        redis = Redis.from_url(os.environ["REDIS_URL"])
        redis.incrby(f"{GATE}:begun", len(tasks))
        while not redis.exists(f"{GATE}:open"):
            redis.set(f"{GATE}:told", int(self.told_to_stop))
            time.sleep(0.005)
        return [(task_id, os.getpid()) for task_id, _ in tasks]


class AsyncGatedWorker(BaseAsyncWorker):
    """The same, as a coroutine."""

    queue_name = "gated_async"
    told_to_stop = False

    def stop(self):
        super().stop()
        self.told_to_stop = True

    async def perform_tasks(self, tasks):
        redis = Redis.from_url(os.environ["REDIS_URL"])
        redis.incrby(f"{GATE}:begun", len(tasks))
        while not redis.exists(f"{GATE}:open"):
            redis.set(f"{GATE}:told", int(self.told_to_stop))
            await asyncio.sleep(0.005)
        return [(task_id, os.getpid()) for task_id, _ in tasks]


class OnceWorker(BaseWorker):
    """Performs one batch, then has a bug."""

    queue_name = "once"

    def wait_for_tasks(self):
        if self.iterations_performed:
            raise RuntimeError("not again")
        return super().wait_for_tasks()

    def perform_tasks(self, tasks):
        return [(task_id, os.getpid()) for task_id, _ in tasks]
