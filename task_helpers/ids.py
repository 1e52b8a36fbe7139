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
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from itertools import repeat
from typing import cast
from uuid import UUID, SafeUUID

ID_BYTES = 16

TAIL_BYTES = 10
RANDOM_BITS = 0x0FFF_3FFF_FFFF_FFFF_FFFF
FIXED_BITS = 0x7000_8000_0000_0000_0000
"""Of a UUIDv7 behind its time: all is drawn by lot but the version and the variant."""

AT_ONCE = 1_000
"""So many are drawn together: what is done once for all of them is kept."""

_new_uuid = object.__new__
_set_int: Callable[[UUID, int], None] = vars(UUID)["int"].__set__
_set_is_safe: Callable[[UUID, SafeUUID], None] = vars(UUID)["is_safe"].__set__
_UNKNOWN = SafeUUID.unknown
"""A member looked up in its enum, and a setter in its class, cost as much again as the object."""


def new_ids(count: int) -> list[bytes]:
    """Fresh ids, all of this millisecond: what can be done once for all of them is."""
    now = time.time_ns() // 1_000_000
    if count == 1:
        return [_new_id(now)]
    head = now.to_bytes(6, "big")
    drawn = b"".join([_tails(min(AT_ONCE, left)) for left in range(count, 0, -AT_ONCE)])
    return [head + drawn[at : at + TAIL_BYTES] for at in range(0, len(drawn), TAIL_BYTES)]


def _new_id(now: int) -> bytes:
    tail = int.from_bytes(os.urandom(TAIL_BYTES), "big") & RANDOM_BITS | FIXED_BITS
    return (now << 8 * TAIL_BYTES | tail).to_bytes(ID_BYTES, "big")


def _tails(count: int) -> bytes:
    noise = int.from_bytes(os.urandom(TAIL_BYTES * count), "big")
    tails = (noise & _repeated(RANDOM_BITS, count)) | _repeated(FIXED_BITS, count)
    return tails.to_bytes(TAIL_BYTES * count, "big")


@lru_cache(maxsize=16)
def _repeated(bits: int, count: int) -> int:
    return int.from_bytes(bits.to_bytes(TAIL_BYTES, "big") * count, "big")


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
        return task_id.int.to_bytes(ID_BYTES, "big")
    try:
        return UUID(task_id).bytes
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"a task id is a uuid.UUID or its text, not {task_id!r}") from None


def all_to_bytes(task_ids: Iterable[UUID | str]) -> list[bytes]:
    """As `to_bytes` for each, for half of its price where all of them are a UUID."""
    task_ids = list(task_ids)
    if set(map(type, task_ids)) != {UUID}:
        return list(map(to_bytes, task_ids))
    return [task_id.int.to_bytes(ID_BYTES, "big") for task_id in cast(list[UUID], task_ids)]


def to_uuid(task_id: bytes) -> UUID:
    """As `UUID(bytes=task_id)`, for a third of its price: of 16 bytes nothing is to be checked."""
    made = _new_uuid(UUID)
    _set_int(made, int.from_bytes(task_id, "big"))
    _set_is_safe(made, _UNKNOWN)
    return made


def all_to_uuid(task_ids: Collection[bytes]) -> list[UUID]:
    """As `to_uuid` for each, for two thirds of its price: no step of the loops runs in Python."""
    if len(task_ids) == 1:
        return list(map(to_uuid, task_ids))
    made = list(map(_new_uuid, repeat(UUID, len(task_ids))))
    any(map(_set_int, made, map(int.from_bytes, task_ids)))
    any(map(_set_is_safe, made, repeat(_UNKNOWN)))
    return made
