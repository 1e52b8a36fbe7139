"""The one retry loop: what it sends again is safe to repeat, so no reply stays lost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from task_helpers.couriers._outages import Health, pauses
from task_helpers.couriers._redis.commands import (
    Argument,
    Behind,
    Command,
    Pause,
    Script,
    Send,
    Told,
    error_among,
    script,
)
from task_helpers.couriers._redis.errors import passes, translated
from task_helpers.effects import Flow
from task_helpers.exceptions import CourierError

Call = tuple[Sequence[bytes], Sequence[Argument]]
"""Keys and arguments of a script."""


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
        called, blocking = script(name), [after] if after else []
        first = [*before, *blocking, called.by_digest(keys, arguments)]

        def again() -> Call:
            return repeat_keys() if repeat_keys else keys, arguments

        replies = yield from self._run(called, first, again, len(before), blocks, behind=behind)
        return replies[-1]

    def once(
        self,
        commands: Sequence[Command],
        name: str,
        again: Callable[[], Call],
        before: Sequence[Command] = (),
        unless: Callable[[CourierError], None] | None = None,
    ) -> Flow[Any]:
        """
        The last reply of commands that must not be sent twice: where it gets lost, that of a
        script which makes sure of what they did.

        - again - keys and arguments for the script.
        - before - as in `script`.
        - unless - for a caller that waits then: there may be no reply, None, and this is called if
          it is an error.
        """

        def told(outcome: list[Any] | BaseException) -> None:
            error = error_among(outcome[len(before) :]) if isinstance(outcome, list) else outcome
            if unless and isinstance(error, Exception):
                unless(self.named(error))

        replies = yield from self._run(
            script(name), [*before, *commands], again, len(before), told=told if unless else None
        )
        return replies[-1] if replies else None

    def _run(
        self,
        called: Script,
        first: Sequence[Command],
        again: Callable[[], Call],
        ignored: int,
        blocks: float = 0,
        told: Told | None = None,
        behind: Behind | None = None,
    ) -> Flow[list[Any]]:
        """The replies; the script is called by its source where Redis has lost it."""

        def repeat() -> list[Command]:
            return [called.by_digest(*again())]

        try:
            return (yield from self._ask(first, repeat, blocks, ignored, told, behind=behind))
        except NoScriptError:
            loading = [called.by_source(*again())]
            return (yield from self._ask(loading, lambda: loading))

    def named(self, error: Exception) -> CourierError:
        """What users see of an error of Redis."""
        return translated(error, self._address)

    def _ask(
        self,
        first: Sequence[Command],
        repeat: Callable[[], Sequence[Command]],
        blocks: float = 0,
        ignored: int = 0,
        told: Told | None = None,
        comforts: int = 0,
        behind: Behind | None = None,
    ) -> Flow[list[Any]]:
        due = time.monotonic() + blocks
        asked = Send(first, blocks, self._until - due, told, behind)
        later: Iterator[float] | None = None
        while True:
            try:
                replies = _without_errors((yield asked)[ignored:], comforts)
                if replies:  # none where they only go along with those of others
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
