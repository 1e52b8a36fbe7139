"""The one retry loop: what it sends again is safe to repeat, so no reply stays lost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
        return self._ask(commands, lambda _: commands, blocks, comforts=comforts)

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

        repeat = partial(_repeated, called, again)
        return self._ask(first, repeat, blocks, len(before), behind=behind, only_last=True)

    def once(
        self,
        commands: Sequence[Command],
        name: str,
        again: Callable[[], Call],
        before: Sequence[Command] = (),
        unless: Callable[[CourierError], None] | None = None,
    ) -> Flow[list[Any]]:
        """
        The replies of commands that must not be sent twice: where they get lost, that of a script
        which makes sure of what they did.

        - again - keys and arguments for the script.
        - before - as in `script`.
        - unless - for a caller that waits then: there may be no replies, and this is called if
          one is an error.
        """
        told = partial(self._tell, unless, len(before)) if unless else None
        repeat = partial(_repeated, script(name), again)
        return self._ask([*before, *commands], repeat, ignored=len(before), told=told)

    def _tell(
        self,
        unless: Callable[[CourierError], None],
        ignored: int,
        outcome: list[Any] | BaseException,
    ) -> None:
        error = error_among(outcome[ignored:]) if isinstance(outcome, list) else outcome
        if isinstance(error, Exception):
            unless(self.named(error))

    def named(self, error: Exception) -> CourierError:
        """What users see of an error of Redis."""
        return translated(error, self._address)

    def _ask(
        self,
        first: Sequence[Command],
        repeat: Callable[[bool], Sequence[Command]],
        blocks: float = 0,
        ignored: int = 0,
        told: Told | None = None,
        comforts: int = 0,
        behind: Behind | None = None,
        only_last: bool = False,
    ) -> Flow[Any]:
        """
        The one loop; no generator stands between it and a verb, for whoever adds a single task.

        - repeat - what is sent from the second time on. It is given whether Redis has lost the
          script.
        - ignored - so many of the first replies are nobody's.
        - only_last - of the replies.
        """
        due, lost_script = time.monotonic() + blocks, False
        asked = Send(first, blocks, self._until - due, told, behind)
        later: Iterator[float] | None = None
        while True:
            pause = None
            try:
                replies = _without_errors((yield asked), ignored, comforts)
                if replies:  # none where they only go along with those of others
                    self.health.note_answer()
                return replies[-1] if only_last else replies
            except NoScriptError as error:
                if lost_script:
                    raise self.named(error) from None
                lost_script = True
            except (RedisError, OSError) as error:
                later = later or pauses(min(due + self._retry_seconds, self._until))
                pause = self._pause(error, due, later)
            if pause:
                yield pause
            asked, ignored = Send(repeat(lost_script), 0, self._until - time.monotonic()), 0

    def _pause(self, error: Exception, asked_at: float, later: Iterator[float]) -> Pause:
        """Until the next try; raises the error where there is none."""
        seconds = next(later, None) if self._is_outage(error, asked_at) else None
        named = self.named(error)
        if seconds is None:
            raise named from None
        return Pause(seconds, named)

    def _is_outage(self, error: Exception, asked_at: float) -> bool:
        if passes(error):
            self.health.note_outage(asked_at)
            return True
        return False


def _repeated(called: Script, again: Callable[[], Call], is_lost: bool) -> list[Command]:
    """By its source where Redis has lost the script."""
    call = called.by_source if is_lost else called.by_digest
    return [call(*again())]


def _without_errors(replies: list[Any], ignored: int, comforts: int) -> list[Any]:
    if ignored:
        replies = replies[ignored:]
    needed = len(replies) - comforts
    for at, reply in enumerate(replies):
        if isinstance(reply, Exception):
            if at < needed or passes(reply):
                raise reply
            replies[at] = None
    return replies
