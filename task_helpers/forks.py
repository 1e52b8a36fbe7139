"""What a forked child must not share with its parent starts afresh in it."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from functools import cache
from typing import Protocol


class Restartable(Protocol):
    def restart(self) -> None:
        """Forgets sockets, locks, waiters and batches: they are the parent's."""


_things: weakref.WeakSet[Restartable] = weakref.WeakSet()


def restart_after_fork(thing: Restartable) -> None:
    _register_hook()
    _things.add(thing)


@cache
def _register_hook() -> None:
    """Once, and not at import."""
    os.register_at_fork(after_in_child=_restart_all)


def _restart_all() -> None:
    """Also those behind one that fails."""
    with ExitStack() as stack:
        for thing in list(_things):
            stack.callback(thing.restart)
