"""What a forked child finds, told to the parent: also why it failed."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable


def fork(act: Callable[[], object]) -> Callable[[], None]:
    """Forks. The returned function waits for the child, and fails with what the child raised."""
    ours, childs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: what is tested
        child = os.fork()
    if child == 0:
        _act(act, childs)
    os.close(childs)

    def succeeded() -> None:
        with open(ours) as told:
            why = told.read()
        assert os.waitpid(child, 0)[1] == 0, why

    return succeeded


def _act(act: Callable[[], object], told: int) -> None:
    try:
        act()
        os._exit(0)
    except BaseException:
        os.write(told, traceback.format_exc().encode())
    finally:
        os._exit(1)
