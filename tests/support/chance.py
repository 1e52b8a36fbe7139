"""What is random in ids and tokens, drawn again in each life: one seed, one life."""

from __future__ import annotations

import os
import random
from itertools import count

import pytest

from task_helpers import ids

NEW_YEAR = 1_767_225_600_000
"""ms since 1970."""


class Chance:
    """
    - restart() - from now on the same follows as after the last restart.

    Ids are of a few seconds, in any order. Tokens rise, so that leases stand in the order in which
    they were taken, be it in the same millisecond or not.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.restart()
        patch.setattr(ids, "new_ids", self._new_ids)
        patch.setattr(os, "urandom", lambda size: next(self._tokens).to_bytes(size))

    def restart(self) -> None:
        self._random, self._tokens = random.Random(0), count()

    def _new_ids(self, count: int) -> list[bytes]:
        return [self._new_id() for _ in range(count)]

    def _new_id(self) -> bytes:
        """A UUIDv7, as those of `ids`."""
        made_at, lot = NEW_YEAR + self._random.randrange(3000), self._random.randbytes
        return made_at.to_bytes(6) + b"\x70" + lot(1) + b"\x80" + lot(7)
