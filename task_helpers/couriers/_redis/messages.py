"""What is sent on the channel of a client process: a flat list of ids and outcomes, as msgpack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from msgpack import packb, unpackb

from task_helpers.effects import News


def message_of(flat: Sequence[bytes]) -> bytes:
    """In the older form of msgpack, which is all that the scripts can read."""
    return cast(bytes, packb(flat, use_bin_type=False))


def understood(message: Any) -> News | None:
    """
    The news in a message of Pub/Sub; None for the one that says: from now on you listen. An error,
    of an account that may not listen or ping, hints at nothing: the sweeps find what there is.
    """
    if isinstance(message, Exception):
        return {}
    if message[0] == b"subscribe":
        return None
    return _unpacked(message[2]) if message[0] == b"message" else {}


def _unpacked(data: bytes) -> News:
    """What is no message of ours hints at nothing."""
    try:
        flat = unpackb(data, raw=True)
        return dict(zip(flat[::2], flat[1::2], strict=True))
    except (ValueError, TypeError):
        return {}
