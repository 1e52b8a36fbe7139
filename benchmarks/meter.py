"""What a measurement costs its processes."""

from __future__ import annotations

from typing import Any

from processes import cpu_seconds


class Meter:
    """
    The CPU of processes within its `with` blocks, summed up.

    - pids - by the name of the process.
    """

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._spent = dict.fromkeys(pids, 0.0)

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
        return {"cpu_s": sum(per_10_000.values()), "cpu_s_of": per_10_000}
