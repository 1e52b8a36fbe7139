"""A django-redis alias that leads through Sentinel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django_task_helpers import courier
from tests.support.servers import RedisServer, free_port

REDIS = "task_helpers.couriers.redis.RedisClientWorkerTaskCourier"


def test_a_task_goes_round_through_the_master_that_sentinel_names(
    configured: Any, tmp_path: Path
) -> None:
    # given a master, and a sentinel that alone knows where it is
    port, settings = free_port(), tmp_path / "sentinel.conf"
    with RedisServer(tmp_path) as master:
        settings.write_text(f"sentinel monitor ours 127.0.0.1 {master.port} 1\n")
        with RedisServer(tmp_path, port, file=settings, sentinel=True):
            cache = {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": "redis://ours/0",
                "OPTIONS": {
                    "CLIENT_CLASS": "django_redis.client.SentinelClient",
                    "CONNECTION_POOL_CLASS": "redis.sentinel.SentinelConnectionPool",
                    "SENTINELS": [("127.0.0.1", port)],
                },
            }
            configured(
                {"COURIERS": {"default": {"BACKEND": REDIS, "CACHE": "tasks"}}},
                CACHES={"tasks": cache},
                DJANGO_REDIS_CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
            )
            # when a task goes round
            task_id = courier.add_task_to_queue("sums", 1)
            courier.return_task_result("sums", *courier.get_task("sums"))
            # then the master served it
            assert courier.get_task_result("sums", task_id) == 1
            assert master.client().info("commandstats")["cmdstat_evalsha"]["calls"] > 0
            courier.close()
