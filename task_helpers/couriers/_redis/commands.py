"""What the flows of the Redis store ask for: commands, and our scripts as commands."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from task_helpers.effects import Effect, Sleep
from task_helpers.exceptions import CourierError

Argument = bytes | str | int | float
Command = tuple[Argument, ...]

_INCLUDE = re.compile(rb"^-- include (\w+)\n", re.MULTILINE)


Told = Callable[[list[Any] | BaseException], None]


class Behind(NamedTuple):
    """
    Commands that go behind others, and whose replies nobody waits for: they are read when the
    connection is used next.

    - commands - makes them, when the others are on their way.
    - told - is called once, from any thread, with their replies or with what went wrong.
    """

    commands: Callable[[], Sequence[Command]]
    told: Told


class Send(Effect):
    """
    Sends commands in one packet and replies the list of their replies, where an error of the
    server stands as an exception.

    - blocks - seconds for which the server may hold back the first reply.
    - within - seconds, beyond what it blocks, after which a reply is of no use any more.
    - told - given where nobody needs the replies, and the next thing the caller does is to wait:
      then there may be none, and this is called with them or with what went wrong.
    - behind - what goes along; only with commands that do not block.
    """

    __slots__ = ("behind", "blocks", "commands", "told", "within")

    def __init__(
        self,
        commands: Sequence[Command],
        blocks: float = 0,
        within: float = math.inf,
        told: Told | None = None,
        behind: Behind | None = None,
    ) -> None:
        self.behind = behind
        self.commands = commands
        self.blocks = blocks
        self.within = within
        self.told = told


@dataclass(frozen=True, slots=True)
class Pause(Sleep):
    """
    Before a Redis that gave no answer is asked again.

    - error - for a caller that cannot wait so long.
    """

    error: CourierError


@dataclass(frozen=True, slots=True)
class Script:
    """One file of `scripts/`, called by its digest; by its source where the server lost it."""

    source: bytes
    digest: str

    def by_digest(self, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Command:
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)

    def by_source(self, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Command:
        return ("EVAL", self.source, len(keys), *keys, *arguments)


@cache
def script(name: str) -> Script:
    """
    The script in `scripts/<name>.lua`, read when first used. Where it has a line `-- include part`,
    the functions of `scripts/_part.lua` stand.
    """
    source = _INCLUDE.sub(lambda found: _read(f"_{found[1].decode()}"), _read(name))
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


def transaction(*commands: Command) -> list[Command]:
    """Nothing of others comes in between; the reply of the last one is the list of all replies."""
    return [("MULTI",), *commands, ("EXEC",)]


def first_error(replies: Iterable[Any]) -> Exception | None:
    return next((reply for reply in replies if isinstance(reply, Exception)), None)


def error_among(replies: Sequence[Any]) -> Exception | None:
    """Also of a transaction, whose last reply holds those of its commands."""
    inner = replies[-1] if replies and isinstance(replies[-1], list) else ()
    return first_error([*replies, *inner])


def _read(name: str) -> bytes:
    return files(__package__).joinpath("scripts", f"{name}.lua").read_bytes()
