"""What a measurement costs Redis. Imported where its client is installed."""

from __future__ import annotations

from typing import Any

import redis

from meter import Meter


class RedisMeter(Meter):
    """
    - pids - "redis" is one of them.
    """

    def __init__(self, pids: dict[str, int], url: str) -> None:
        super().__init__(pids)
        self._redis = redis.Redis.from_url(url)
        self._redis.config_resetstat()

    def figures(self, tasks: int) -> dict[str, Any]:
        figures = super().figures(tasks)
        redis_us = 100 * figures["cpu_s_of"]["redis"]
        return {**figures, "redis_us": redis_us, "commands": self._commands(tasks)}

    def _commands(self, tasks: int) -> dict[str, dict[str, float]]:
        """Calls and µs per 1,000 tasks. What a script calls counts twice: there and by itself."""
        stats = self._redis.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): {
                "calls": 1000 * stat["calls"] / tasks,
                "us": 1000 * stat["usec"] / tasks,
            }
            for name, stat in stats.items()
        }
