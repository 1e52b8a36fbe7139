"""What a measurement costs its processes."""

from __future__ import annotations

from typing import Any

import redis

from processes import cpu_seconds


class Meter:
    """
    The CPU of processes within its `with` blocks, summed up.

    - pids - by the name of the process; "redis" is one of them.
    """

    def __init__(self, pids: dict[str, int], url: str) -> None:
        self._pids = pids
        self._spent = dict.fromkeys(pids, 0.0)
        self._redis = redis.Redis.from_url(url)
        self._redis.config_resetstat()

    def __enter__(self) -> None:
        self._began = self._read()

    def __exit__(self, *_: object) -> None:
        for name, seconds in self._read().items():
            self._spent[name] += seconds - self._began[name]

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def figures(self, tasks: int) -> dict[str, Any]:
        """Seconds are those of 10,000 tasks."""
        per_10_000 = {name: 10_000 * spent / tasks for name, spent in self._spent.items()}
        return {
            "cpu_s": sum(per_10_000.values()),
            "cpu_s_of": per_10_000,
            "redis_us": 100 * per_10_000["redis"],
            "commands": self._commands(tasks),
        }

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
