import asyncio
import os
import threading
import time

from factory.workers import GATE
from redis import Redis

from task_helpers import task_function


@task_function
def pid():
    return os.getpid()


@task_function(time_limit=0.5)
def hang():
    threading.Event().wait()


@task_function(soft_time_limit=0.1, time_limit=0.6)
def ignore():
    while True:
        try:
            time.sleep(1)
        except Exception:
            continue


@task_function(time_limit=0.5)
async def block():
    time.sleep(60)  # noqa: ASYNC251


@task_function
async def sleep():
    Redis.from_url(os.environ["REDIS_URL"]).incrby(f"{GATE}:begun", 1)
    await asyncio.sleep(60)
