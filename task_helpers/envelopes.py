"""
What is stored of a task: a fixed header, then the payload as its serializer wrote it.

    version  flags  codec  priority  attempt  deadline  channel   payload
       1       1      1       1         2        8         8       the rest      bytes

Only workers open envelopes; the scripts inside the store never do.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

from task_helpers.exceptions import DeserializationError

VERSION = 1
SIGNED = 1
"""A flag."""

NO_CHANNEL = bytes(8)
NO_DEADLINE = 0

_LAYOUT = struct.Struct(">BBBbHQ8s")
HEADER_BYTES = _LAYOUT.size
_CHANNEL = slice(HEADER_BYTES - len(NO_CHANNEL), HEADER_BYTES)


class Header(NamedTuple):
    """
    - codec - which serializer wrote the payload.
    - priority - -100 to 100.
    - attempt - how many times the task was executed before.
    - deadline - ms on the store's clock after which nobody wants the result; 0: none.
    - channel - where the client listens for results; eight zero bytes: nowhere.
    - signed - the payload begins with a signature.
    """

    codec: int
    priority: int = 0
    attempt: int = 0
    deadline: int = NO_DEADLINE
    channel: bytes = NO_CHANNEL
    signed: bool = False

    def pack(self) -> bytes:
        """The same for all tasks of a bulk add, so made once for all of them."""
        codec, priority, attempt, deadline, channel, signed = self
        flags = SIGNED if signed else 0
        return _LAYOUT.pack(VERSION, flags, codec, priority, attempt, deadline, channel)

    def expired(self, now_ms: int) -> bool:
        return self.deadline != NO_DEADLINE and self.deadline <= now_ms


def with_attempts(envelope: bytes, attempts: int) -> bytes:
    """The same task, performed so many times before."""
    header, payload = open_envelope(envelope)
    return header._replace(attempt=attempts).pack() + payload


def renewed(envelope: bytes) -> bytes:
    """The same task as if it were new: never performed, and without the deadline it had."""
    header, payload = open_envelope(envelope)
    return header._replace(attempt=0, deadline=NO_DEADLINE).pack() + payload


def open_envelope(envelope: bytes) -> tuple[Header, bytes]:
    """Header and payload; `DeserializationError` when the bytes are not an envelope of ours."""
    return header_of(envelope), envelope[HEADER_BYTES:]


def header_of(envelope: bytes) -> Header:
    """The header alone; raises as `open_envelope` does."""
    return _header(envelope[:HEADER_BYTES])


def channel_of(envelope: bytes) -> bytes:
    """What its header says, at a third of the price; of what is no envelope: none."""
    channel = envelope[_CHANNEL]
    return channel if len(channel) == len(NO_CHANNEL) else NO_CHANNEL


def heads_of(envelopes: Collection[bytes]) -> set[bytes]:
    """
    The packed headers, each once: tasks that were added together have the same. What is shorter
    than a header stands as it is.
    """
    head = next(iter(envelopes), b"")[:HEADER_BYTES]
    if len(head) == HEADER_BYTES and all(map(bytes.startswith, envelopes, repeat(head))):
        return {head}
    return {envelope[:HEADER_BYTES] for envelope in envelopes}


def shared_channel(heads: Iterable[bytes]) -> bytes | None:
    """The one in all of them, which are at least one; None: they differ, or have none."""
    channels = {head[_CHANNEL] for head in heads}
    channel = channels.pop()
    return None if channels or len(channel) != len(NO_CHANNEL) else channel


def has_expired(envelope: bytes, now_ms: int) -> bool:
    """What is no envelope has not."""
    try:
        return header_of(envelope).expired(now_ms)
    except DeserializationError:
        return False


@lru_cache(maxsize=256)
def _header(packed: bytes) -> Header:
    """Tasks that were added together have the same header."""
    if len(packed) < HEADER_BYTES:
        raise DeserializationError(f"a task of {len(packed)} bytes is shorter than its header")
    version, flags, codec, priority, attempt, deadline, channel = _LAYOUT.unpack(packed)
    if version != VERSION:
        raise DeserializationError(
            f"the task was written in format {version} and this version reads format {VERSION}: "
            "run the same version of task_helpers on both sides"
        )
    return Header(codec, priority, attempt, deadline, channel, bool(flags & SIGNED))
