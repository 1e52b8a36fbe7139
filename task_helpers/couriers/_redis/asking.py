"""The one retry loop: all the store sends is safe to repeat, so a lost reply is asked for again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from task_helpers.couriers._outages import Health, pauses
from task_helpers.couriers._redis.commands import Argument, Behind, Command, Pause, Send, script
from task_helpers.couriers._redis.errors import passes, translated
from task_helpers.effects import Flow
from task_helpers.exceptions import CourierError


class Asking:
    """
    Sends commands and scripts until Redis has answered.

    - address - of Redis, for messages.
    - retry_seconds - how long a Redis that does not answer is asked again.
    - until - when an answer is of no use any more, on `time.monotonic()`.
    """

    def __init__(
        self,
        address: str,
        retry_seconds: float,
        until: float = math.inf,
        health: Health | None = None,
    ) -> None:
        self._address = address
        self._retry_seconds = retry_seconds
        self._until = until
        self.health = health or Health()

    def bounded(self, until: float) -> Asking:
        """The same, but it gives up at that moment."""
        bound = min(until, self._until)
        return Asking(self._address, self._retry_seconds, bound, self.health)

    def is_gone(self) -> bool:
        """Whether Redis has been silent for as long as anybody would ask it again."""
        return self.health.silent_for() >= self._retry_seconds

    def commands(
        self, commands: Sequence[Command], blocks: float = 0, comforts: int = 0
    ) -> Flow[list[Any]]:
        """
        Their replies, after one round trip.

        - blocks - as in `Send`.
        - comforts - so many of the last ones can be done without: None stands for an error.
        """
        return self._ask(commands, lambda: commands, blocks, comforts=comforts)

    def script(
        self,
        name: str,
        keys: Sequence[bytes],
        arguments: Sequence[Argument],
        *,
        repeat_keys: Callable[[], Sequence[bytes]] | None = None,
        before: Sequence[Command] = (),
        after: Command | None = None,
        blocks: float = 0,
        behind: Behind | None = None,
    ) -> Flow[Any]:
        """
        The reply of a script.

        - repeat_keys - gives the keys for when it is called again after a lost reply.
        - before - commands that go along in the same packet, once: nobody needs their replies.
        - after - a command that may block, sent in the same packet before the script; Redis runs
          the script the moment that one unblocks. Not sent again on a repeat.
        - behind - goes along once.
        """
        called = script(name)
        blocking = [after] if after else []
        first = [*before, *blocking, called.by_digest(keys, arguments)]

        def again(call: Callable[..., Command] = called.by_digest) -> list[Command]:
            return [call(repeat_keys() if repeat_keys else keys, arguments)]

        try:
            replies = yield from self._ask(first, again, blocks, len(before), behind=behind)
        except NoScriptError:
            loading = again(called.by_source)
            replies = yield from self._ask(loading, lambda: loading)
        return replies[-1]

    def once(
        self,
        commands: Sequence[Command],
        ignored: int = 0,
        unless: Callable[[], None] | None = None,
    ) -> Flow[list[Any] | None]:
        """
        As `commands`, of what must not be sent again: None where nobody knows whether it was done.

        - ignored - nobody needs so many of the first replies.
        - unless - as in `Send`; no replies, where they only go along with those of others.
        """
        asked_at = time.monotonic()
        asked = Send(commands, 0, self._until - asked_at, unless)
        try:
            replies = _without_errors((yield asked)[ignored:], 0)
        except (RedisError, OSError) as error:
            if self._is_outage(error, asked_at):
                return None
            raise self.named(error) from None
        if replies:
            self.health.note_answer()
        return replies

    def named(self, error: Exception) -> CourierError:
        """What users see of an error of Redis."""
        return translated(error, self._address)

    def _ask(
        self,
        first: Sequence[Command],
        repeat: Callable[[], Sequence[Command]],
        blocks: float = 0,
        ignored: int = 0,
        comforts: int = 0,
        behind: Behind | None = None,
    ) -> Flow[list[Any]]:
        due = time.monotonic() + blocks
        asked = Send(first, blocks, self._until - due, behind=behind)
        later: Iterator[float] | None = None
        while True:
            try:
                replies = _without_errors((yield asked)[ignored:], comforts)
                self.health.note_answer()
                return replies
            except NoScriptError:
                raise
            except (RedisError, OSError) as error:
                later = later or pauses(min(due + self._retry_seconds, self._until))
                pause = next(later, None) if self._is_outage(error, due) else None
                named = self.named(error)
                if pause is None:
                    raise named from None
            yield Pause(pause, named)
            asked, ignored = Send(repeat(), 0, self._until - time.monotonic()), 0

    def _is_outage(self, error: Exception, asked_at: float) -> bool:
        if passes(error):
            self.health.note_outage(asked_at)
            return True
        return False


def _without_errors(replies: list[Any], comforts: int) -> list[Any]:
    needed = len(replies) - comforts
    for at, reply in enumerate(replies):
        if isinstance(reply, Exception):
            if at < needed or passes(reply):
                raise reply
            replies[at] = None
    return replies
