"""
Task ids: UUIDv7 made by the client, so that a repeated add is recognised.

The first 48 bits are the time in ms: whoever holds an id knows when the task was made, and in
which bucket its result is stored. The id of a task with a key is a UUIDv8 that is the same but for
its version: whoever holds it knows that others may share the task. Inside the package an id is its
16 bytes, which are a third of the memory of a UUID object; users see `uuid.UUID`.
"""

from __future__ import annotations

import os
import time
from uuid import UUID

ID_BYTES = 16


def new_ids(count: int) -> list[bytes]:
    """Fresh ids, all of this millisecond: one read of the clock and of the entropy a batch."""
    head = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    noise = os.urandom(10 * count)
    return [_uuid7(head, noise[at : at + 10]) for at in range(0, 10 * count, 10)]


def _uuid7(head: bytes, noise: bytes) -> bytes:
    marked = bytes((noise[0] & 0x0F | 0x70, noise[1], noise[2] & 0x3F | 0x80))
    return head + marked + noise[3:]


def as_shared(task_id: bytes) -> bytes:
    """The id for a task with a key."""
    return task_id[:6] + bytes((task_id[6] & 0x0F | 0x80,)) + task_id[7:]


def is_shared(task_id: bytes) -> bool:
    return task_id[6] >> 4 == 8


def made_at_ms(task_id: bytes) -> int:
    """When the id was made, ms since 1970 on its client's clock."""
    return int.from_bytes(task_id[:6], "big")


def to_bytes(task_id: UUID | str) -> bytes:
    """The 16 bytes of an id as users hold it; `ValueError` for what is no UUID."""
    if isinstance(task_id, UUID):
        return task_id.bytes
    try:
        return UUID(task_id).bytes
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"a task id is a uuid.UUID or its text, not {task_id!r}") from None


def to_uuid(task_id: bytes) -> UUID:
    return UUID(bytes=task_id)
