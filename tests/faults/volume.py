"""Very many queued tasks and waiting threads: what they cost, and that nothing is left."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import redis

from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.couriers.redis_async import RedisAsyncClientTaskCourier
from tests.faults.context import Context
from tests.faults.report import Figure, at_most, exactly, none, percentile, told
from tests.support.servers import RedisServer
from tests.support.waiting import in_thread, wait_until

QUEUE, SHORT_QUEUE = QUEUES = ("volume", "short")
TASK = {"name": "tomato", "price": "12.45"}
FEW = 1_000
BATCH = 500
PATIENCE = 120.0


def run(context: Context) -> list[Figure]:
    with context.server() as server:
        return [
            *many_tasks(server, context.scaled(50_000, 1_000_000)),
            *many_threads(server, context.scaled(200, 1_000)),
            *many_coroutines(server, context.scaled(500, 10_000)),
        ]


# --- Tasks


def many_tasks(server: RedisServer, count: int) -> list[Figure]:
    """Batches are taken and finished at the front while the rest of the queue waits behind."""
    connection, courier = server.client(), courier_of(server)
    before = used_memory(connection)
    courier.bulk_add_tasks_to_queue(QUEUE, [TASK] * count)
    bytes_a_task = (used_memory(connection) - before) / count
    courier.bulk_add_tasks_to_queue(SHORT_QUEUE, [TASK] * FEW)
    short, long = (1e6 * seconds / BATCH for seconds in batch_seconds(courier))
    for queue in QUEUES:
        while tasks := courier.get_tasks(queue, 1_000):
            courier.acknowledge_tasks(queue, [task_id for task_id, _ in tasks])
    courier.close()
    return [
        told("tasks queued", count),
        at_most("bytes a queued task", bytes_a_task, 180),
        told("take and finish, a task, of 1,000 queued", short, "µs"),
        told("take and finish, a task, of all queued", long, "µs"),
        told("the latter to the former", long / short),
        none("keys left behind for good", keys_that_stay(connection)),
        at_most("bytes left behind", used_memory(connection) - before, 5_000_000),
    ]


def batch_seconds(courier: Any) -> tuple[float, float]:
    """
    Of a batch of the short queue, and of the other: in turn, so that both meet the same
    disturbances. The medians: one batch may meet a rehash of the hash of tasks.
    """
    took = [(one_batch(courier, SHORT_QUEUE), one_batch(courier, QUEUE)) for _ in range(40)]
    short, long = zip(*took, strict=True)
    return percentile(short, 50), percentile(long, 50)


def one_batch(courier: Any, queue: str) -> float:
    """Seconds to take and finish it. As many tasks are added again, after that."""
    began = time.perf_counter()
    tasks = courier.get_tasks(queue, BATCH)
    courier.acknowledge_tasks(queue, [task_id for task_id, _ in tasks])
    seconds = time.perf_counter() - began
    courier.bulk_add_tasks_to_queue(queue, [TASK] * BATCH)
    return seconds


def keys_that_stay(connection: redis.Redis) -> int:
    """Without those that expire, such as the counts of a minute."""
    return sum(connection.ttl(key) == -1 for key in connection.scan_iter(count=1_000))


def used_memory(connection: redis.Redis) -> int:
    return int(connection.info("memory")["used_memory"])


# --- Waiters


def many_threads(server: RedisServer, count: int) -> list[Figure]:
    """Each thread waits for the result of its own task, with one courier for all."""
    client, worker, connection = courier_of(server), courier_of(server), server.client()
    others = len(connection.client_list())
    calls = [in_thread(client.call, QUEUE, number, timeout=PATIENCE) for number in range(count)]
    wait_until(lambda: client.get_queue_stats(QUEUE).waiting == count, PATIENCE)
    connections = len(connection.client_list()) - others
    threads = threading.active_count()
    answer_all(worker)
    answers = [call.result(PATIENCE) for call in calls]
    remembered = len(client._transport._hints.lookout._waiters)
    right = sum(answer == number for number, answer in enumerate(answers))
    for courier in (client, worker):
        courier.close()
    return [
        told("threads that wait", count),
        told("threads in all", threads),
        exactly("threads that got their own answer", right, count),
        at_most("connections of them all", connections, 4),
        none("waiters remembered afterwards", remembered),
    ]


def many_coroutines(server: RedisServer, count: int) -> list[Figure]:
    """As many threads, in one event loop."""
    return asyncio.run(_many_coroutines(server, count))


async def _many_coroutines(server: RedisServer, count: int) -> list[Figure]:
    client, connection = RedisAsyncClientTaskCourier(server.client()), server.client()
    worker = courier_of(server)
    worker.get_queue_stats(QUEUE)  # it has its connection
    others = len(connection.client_list())
    calls = [client.call(QUEUE, number, timeout=PATIENCE) for number in range(count)]
    answers = asyncio.gather(*calls)
    await asyncio.to_thread(
        wait_until, lambda: worker.get_queue_stats(QUEUE).waiting == count, PATIENCE
    )
    connections = len(connection.client_list()) - others
    await asyncio.to_thread(answer_all, worker)
    right = sum(answer == number for number, answer in enumerate(await answers))
    await client.close()
    worker.close()
    return [
        told("coroutines that wait", count),
        exactly("coroutines that got their own answer", right, count),
        at_most("connections of all coroutines", connections, 3),
    ]


def answer_all(worker: Any) -> None:
    while tasks := worker.get_tasks(QUEUE, 1_000):
        worker.bulk_return_task_results(QUEUE, tasks)


def courier_of(server: RedisServer) -> Any:
    return RedisClientWorkerTaskCourier(server.client())
