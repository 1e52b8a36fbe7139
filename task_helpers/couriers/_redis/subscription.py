"""The one connection on which a process listens for hints. Used by one thread at a time."""

from __future__ import annotations

import time

from redis.exceptions import TimeoutError as RedisTimeoutError

from task_helpers.couriers._redis.connections import Connector
from task_helpers.couriers._redis.link import Link, packed
from task_helpers.couriers._redis.messages import understood
from task_helpers.effects import News

SILENCE = 5.0
"""Seconds without a message after which Redis is pinged, and again until it counts as gone."""


class Subscription:
    """
    Connects when it is read, and anew after an error.

    - channel - what it listens on.
    """

    def __init__(self, connector: Connector, channel: bytes) -> None:
        self._connector = connector
        self._channel = channel
        self._link: Link | None = None
        self._read_at = self._heard_at = self._pinged_at = 0.0

    def read(self, seconds: float) -> News | None:
        """
        The next hint, empty when there was none in time, None when it has just begun to listen:
        whatever was sent before is lost. Raises redis' errors, disconnected.
        """
        try:
            return self._read(min(seconds, SILENCE))
        except BaseException:
            self.close()  # whoever reads next would come in the middle of a message
            raise

    def is_idle(self) -> bool:
        """Connected, but nobody has read it for a while: what it is sent piles up in Redis."""
        return self._link is not None and time.monotonic() - self._read_at > SILENCE

    def close(self) -> None:
        link, self._link = self._link, None
        if link:
            link.close()

    def _read(self, seconds: float) -> News | None:
        link = self._link or self._connect()
        link.patience(seconds)
        try:
            message = link.reply()
        except TimeoutError:
            self._read_at = time.monotonic()
            self._check_silence(link)
            return {}
        self._read_at = self._heard_at = time.monotonic()
        return understood(message)

    def _connect(self) -> Link:
        self._link = link = self._connector.link()
        link.send(packed([("SUBSCRIBE", self._channel)]), SILENCE)
        self._heard_at = time.monotonic()
        return link

    def _check_silence(self, link: Link) -> None:
        """A connection can die without a word."""
        if self._read_at - max(self._heard_at, self._pinged_at) < SILENCE:
            return
        if self._pinged_at > self._heard_at:
            raise RedisTimeoutError("no answer to a ping")
        link.send(packed([("PING",)]), SILENCE)
        self._pinged_at = self._read_at
