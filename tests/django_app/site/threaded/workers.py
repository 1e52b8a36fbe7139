import os
import signal
import time

from django.db import connection
from factory.workers import GATE
from redis import Redis

from task_helpers.workers.classic import ClassicWorker


class ThreadedWorker(ClassicWorker):
    """What a task says is done: "slow" waits for the gate, "crash" kills the process."""

    queue_name = "threaded"
    threads = 4
    told_to_stop = False

    def setup(self):
        connection.ensure_connection()  # a new file takes its journal from one connection at a time

    def stop(self):
        super().stop()
        self.told_to_stop = True

    def perform_single_task(self, task):
        if task[1] == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        connection.ensure_connection()
        redis = Redis.from_url(os.environ["REDIS_URL"])
        redis.incrby(f"{GATE}:begun", 1)
        while task[1] == "slow" and not redis.exists(f"{GATE}:open"):
            redis.set(f"{GATE}:told", int(self.told_to_stop))
            time.sleep(0.005)
        return task[1]


class LimitedWorker(ClassicWorker):
    queue_name = "limited"
    max_tasks_per_iteration = 3


class PersistentWorker(LimitedWorker):
    queue_name = "persistent"
    max_attempts = 2
    retry_delay = 0
