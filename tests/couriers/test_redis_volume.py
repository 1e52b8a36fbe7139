"""10,000 tasks: every result right, few commands, nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest

from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from task_helpers.workers.base import BaseWorker
from tests.support.servers import RedisServer

Q, TASKS = "bulk", 10_000
NOT_OURS = {"cmdstat_info", "cmdstat_config|resetstat"}


class Squares(BaseWorker):
    queue_name = Q
    max_tasks_per_iteration = 500
    burst = True

    def perform_tasks(self, tasks: Any) -> Any:
        return [(task_id, number * number) for task_id, number in tasks]


@pytest.mark.parametrize("delete_data", [True, False])
def test_ten_thousand_tasks(server: RedisServer, delete_data: bool) -> None:
    # given 10,000 tasks
    admin = server.client()
    client = RedisClientTaskCourier(server.client())
    admin.config_resetstat()
    task_ids = client.bulk_add_tasks_to_queue(Q, range(TASKS))
    # when a worker performs them, 500 at a time
    Squares(RedisWorkerTaskCourier(server.client())).perform()
    results = client.bulk_wait_for_task_results(Q, task_ids, delete_data, timeout=30)
    # then each result is right, and Redis ran few commands, those inside scripts included
    assert results == [number * number for number in range(TASKS)]
    stats = admin.info("commandstats")
    calls = sum(stat["calls"] for name, stat in stats.items() if name not in NOT_OURS)
    assert calls <= 1.2 * TASKS, stats
    # and nothing is left but counts and results that will expire
    assert all(0 < admin.pttl(key) <= 3_660_000 for key in admin.keys("task_helpers:{bulk}:n:*"))
    keys = set(admin.keys()).difference(admin.keys("task_helpers:{bulk}:n:*"))
    assert all(key.startswith(b"task_helpers:{bulk}:r:") for key in keys)
    assert all(0 < admin.pttl(key) <= 600_000 for key in keys)
    assert bool(keys) is not delete_data
