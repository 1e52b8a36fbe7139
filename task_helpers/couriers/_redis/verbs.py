"""What the verbs of the Redis store share."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from task_helpers.couriers._door import Door, Pace
from task_helpers.couriers._lookout import Lookout
from task_helpers.couriers._redis.asking import Asking
from task_helpers.couriers._redis.commands import Command
from task_helpers.couriers._redis.keys import QueueKeys, hint_channel
from task_helpers.couriers.options import CourierOptions
from task_helpers.effects import Flow

CLOCK_CACHE_SECONDS = 60

MOST_READ = 10_000
"""Results that were read and wait to be deleted; what is beyond expires by itself."""


class Clock:
    """Redis' clock, read once a minute: in between, the monotonic clock has not drifted far."""

    def __init__(self) -> None:
        self._read_at = -math.inf
        self._offset = 0

    def now(self) -> int | None:
        """In ms; None when it is to be set."""
        if time.monotonic() - self._read_at > CLOCK_CACHE_SECONDS:
            return None
        return int(time.monotonic() * 1000) + self._offset

    def set(self, now: int) -> None:
        self._read_at = time.monotonic()
        self._offset = now - int(self._read_at * 1000)


class Listening(Protocol):
    """Where this process listens for hints, in threads or in an event loop."""

    @property
    def channel(self) -> bytes: ...

    @property
    def lookout(self) -> Lookout: ...


class Verbs:
    """
    - asking - how Redis is asked.
    - hints - where this process listens.
    - prefix - what all keys begin with.
    """

    def __init__(
        self, asking: Asking, hints: Listening, prefix: str, options: CourierOptions
    ) -> None:
        self._ask = asking
        self._hints = hints
        self._prefix = prefix
        self._options = options
        self._keys: dict[str, QueueKeys] = {}
        self._clock = Clock()
        self._answered = set[str]()  # digests of scripts that Redis has lately known
        self._read = deque[Command](maxlen=MOST_READ)
        self._door = Door(options)
        self._paces: dict[str, tuple[float, Pace]] = {}  # queue -> when it was read, and what

    def now(self) -> Flow[int]:
        if (now := self._clock.now()) is not None:
            return now
        [(seconds, micro)] = yield from self._ask.commands([("TIME",)])
        now = int(seconds) * 1000 + int(micro) // 1000
        self._clock.set(now)
        return now

    def _of(self, queue: str) -> QueueKeys:
        if queue not in self._keys:
            self._keys[queue] = QueueKeys(self._prefix, queue)
        return self._keys[queue]

    def _by_bucket(self, queue: str, ids: Sequence[bytes]) -> dict[bytes, list[bytes]]:
        return self._of(queue).by_bucket(ids)

    def _hint_channel(self, channel: bytes) -> bytes:
        return hint_channel(self._prefix, channel)
