"""Who of all who listen leads: does for the others what one has to do."""

from __future__ import annotations

from task_helpers.couriers._lookout import Lookout, Waiter


class Lead:
    """One at a time has it. Whoever listens asks for it again when woken."""

    def __init__(self, lookout: Lookout) -> None:
        self._lock = lookout.lock
        self._followers: dict[Waiter, None] = {}
        self._leader: Waiter | None = None

    def is_free(self) -> bool:
        return self._leader is None

    def taken_by(self, waiter: Waiter) -> bool:
        """True: this one leads. False: it will be woken."""
        with self._lock:
            if self._leader is None:
                self._leader = waiter
            if self._leader is waiter:
                self._followers.pop(waiter, None)
                return True
            self._followers[waiter] = None
            return False

    def left_by(self, waiter: Waiter) -> None:
        """Wakes a follower when nobody leads: the one that left may just have been chosen."""
        with self._lock:
            self._followers.pop(waiter, None)
            if self._leader is waiter:
                self._leader = None
            if self._leader is None and self._followers:
                next(iter(self._followers)).wake()

    def wake(self) -> None:
        """There is something to be done by the one who leads."""
        with self._lock:
            if self._leader:
                self._leader.wake()
