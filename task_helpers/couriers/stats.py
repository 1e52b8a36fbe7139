"""The numbers of a queue."""

from __future__ import annotations

from typing import NamedTuple

COUNTED = ("done", "failed", "expired", "cancelled")
"""The ends that are counted, as fields of `QueueStats`."""


class QueueStats(NamedTuple):
    """
    The numbers of a queue at one moment.

    - waiting, delayed, running, dead - tasks in each state; suspects count as waiting.
    - oldest_made_at - when the oldest of the tasks next in line was made (there is a line per
      kind: priorities, suspects), ms since 1970; None: nothing waits.
    - workers - names of the workers that reported within the last minute.
    - done, failed, expired, cancelled - how many tasks ended so within the last hour; those that
      became dead letters have failed.
    - drain_rate - tasks a second that workers perform while more of them wait than they take; None
      where there is no such backlog, or no worker has ended a batch of it.
    """

    waiting: int
    delayed: int
    running: int
    dead: int
    oldest_made_at: int | None
    workers: list[str]
    done: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    drain_rate: float | None = None
