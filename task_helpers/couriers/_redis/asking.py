"""The one retry loop: all the store sends is safe to repeat, so a lost reply is asked for again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from task_helpers.couriers._redis.commands import Argument, Command, Send, script
from task_helpers.couriers._redis.errors import passes, translated
from task_helpers.effects import Flow, Sleep

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 1.0


class Asking:
    """
    Sends commands and scripts until Redis has answered.

    - address - of Redis, for messages.
    - retry_seconds - how long a Redis that does not answer is asked again.
    """

    def __init__(self, address: str, retry_seconds: float) -> None:
        self._address = address
        self._retry_seconds = retry_seconds

    def commands(self, commands: Sequence[Command], blocks: float = 0) -> Flow[list[Any]]:
        """Their replies, after one round trip; `blocks` as in `Send`."""
        return self._ask(Send(commands, blocks))

    def script(
        self,
        name: str,
        keys: Sequence[bytes],
        arguments: Sequence[Argument],
        *,
        repeat_keys: Sequence[bytes] | None = None,
        after: Command | None = None,
        blocks: float = 0,
    ) -> Flow[Any]:
        """
        The reply of a script.

        - repeat_keys - the keys to give when it is called again after a lost reply.
        - after - a command that may block, sent in the same packet before the script; Redis runs
          the script the moment that one unblocks. Not sent again on a repeat.
        """
        called = script(name)
        first = [called.by_digest(keys, arguments)]
        repeat = Send([called.by_digest(repeat_keys or keys, arguments)])
        try:
            replies = yield from self._ask(
                Send([after, *first], blocks) if after else Send(first), repeat
            )
        except NoScriptError:
            loading = Send([called.by_source(repeat_keys or keys, arguments)])
            replies = yield from self._ask(loading)
        return replies[-1]

    def _ask(self, first: Send, repeat: Send | None = None) -> Flow[list[Any]]:
        asked, pauses = first, _pauses(self._retry_seconds)
        while True:
            try:
                return _without_errors((yield asked))
            except NoScriptError:
                raise
            except (RedisError, OSError) as error:
                pause = next(pauses, None) if passes(error) else None
                if pause is None:
                    raise translated(error, self._address) from None
            asked = repeat or first
            yield Sleep(pause)


def _without_errors(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _pauses(bound: float) -> Iterator[float]:
    """Exponential, with jitter, so that many clients do not come back at the same moment."""
    until, pause = time.monotonic() + bound, FIRST_PAUSE
    while time.monotonic() < until:
        yield pause * random.uniform(0.5, 1)
        pause = min(2 * pause, LONGEST_PAUSE)
