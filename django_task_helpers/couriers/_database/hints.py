"""
What is said on the channels of a PostgreSQL: that a queue has tasks, and which tasks have ended.

A hint may be lost, and one that is no hint of ours says nothing.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from msgpack import packb, unpackb

from task_helpers.effects import News

MOST_CHARACTERS = 7_999
"""Of one notification."""

MOST_BYTES = MOST_CHARACTERS // 4 * 3

LIST_BYTES, ID_BYTES, OUTCOME_BYTES = 5, 18, 3
"""What msgpack makes of a list, of an id, and at most of an outcome beside what is in it."""

MOST_IDS = (MOST_BYTES - LIST_BYTES) // (ID_BYTES + OUTCOME_BYTES)


def channel_of_queue(queue: str) -> str:
    """Names of queues may be longer than those of channels."""
    return f"task_helpers_{blake2b(queue.encode(), digest_size=16).hexdigest()}"


def channel_of_client(channel: bytes) -> str:
    return f"task_helpers_{channel.hex()}"


def packed(ended: Sequence[tuple[bytes, bytes]]) -> Iterator[str]:
    """
    (id, outcome) of tasks that have ended, as payloads: with their outcomes where all of them fit
    into one, otherwise the ids.
    """
    size = sum(ID_BYTES + OUTCOME_BYTES + len(outcome) for _, outcome in ended)
    if LIST_BYTES + size <= MOST_BYTES:
        yield _text(ended)
        return
    for at in range(0, len(ended), MOST_IDS):
        yield _text([(task_id, b"") for task_id, _ in ended[at : at + MOST_IDS]])


def understood(payload: str) -> News:
    try:
        flat = unpackb(b64decode(payload), raw=True)
        return dict(zip(flat[::2], flat[1::2], strict=True))
    except (ValueError, TypeError, binascii.Error):
        return {}


def _text(ended: Sequence[tuple[bytes, bytes]]) -> str:
    flat = [part for pair in ended for part in pair]
    return b64encode(packb(flat)).decode()
