"""Queue names."""

from __future__ import annotations

import re

from task_helpers.exceptions import InvalidQueueName

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def valid_queue_name(name: str) -> str:
    """The name itself; `InvalidQueueName` for what cannot be one."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise InvalidQueueName(
        f"{name!r} is not a queue name: use 1 to 100 of the characters A-Z a-z 0-9 _ . : -"
    )
