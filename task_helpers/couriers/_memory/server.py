"""What couriers that talk to each other in memory share: queues, a lock, a clock, waiters."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from task_helpers.couriers._memory.queue import MemoryQueue
from task_helpers.effects import Effect, Listen, Sleep


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Step(Effect):
    """
    Replies what `act` returns; nobody else acts meanwhile.

    - wake_on - the place whose wake mark to wait for before, up to `wait` seconds.
    """

    act: Callable[[], Any]
    wake_on: Place | None = None
    wait: float = 0


class Place:
    """A queue, and what idle workers sleep on; `wake` says that looking at it is worth while."""

    def __init__(self, lock: threading.Lock) -> None:
        self.queue = MemoryQueue()
        self.wake = False
        self.changed = threading.Condition(lock)

    def wake_workers(self) -> None:
        self.wake = True
        self.changed.notify_all()


class HintWaiter:
    """One caller, and which of its ids have ended since it last asked."""

    def __init__(self, lock: threading.Lock, ids: Collection[bytes]) -> None:
        self.ids = frozenset(ids)
        self.news: set[bytes] = set()
        self.changed = threading.Condition(lock)


class MemoryServer:
    """
    Stands in for a Redis: couriers given the same server share its queues, from any thread.

    - now - its clock, a callable that returns ms since 1970. Give one of your own to let leases,
      delays and results run out without sleeping. Who waits already looks within a second.
    """

    def __init__(self, now: Callable[[], int] = wall_clock) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._places: defaultdict[str, Place] = defaultdict(lambda: Place(self._lock))
        self._waiters: set[HintWaiter] = set()

    def place(self, queue_name: str) -> Place:
        with self._lock:
            return self._places[queue_name]

    def enqueued(self, queue_name: str) -> list[tuple[bytes, bytes]]:
        """(id, envelope) of the tasks that no worker has taken: first the waiting ones in order."""
        with self._lock:
            queue = self._places[queue_name].queue
            ids = [*queue.in_line(), *sorted(queue.delayed, key=queue.delayed.__getitem__)]
            return [(task_id, queue.tasks[task_id]) for task_id in ids]

    # --- Waiters

    def register(self, ids: Collection[bytes]) -> HintWaiter:
        waiter = HintWaiter(self._lock, ids)
        with self._lock:
            self._waiters.add(waiter)
        return waiter

    def unregister(self, waiter: HintWaiter) -> None:
        with self._lock:
            self._waiters.discard(waiter)

    def hint(self, ids: Iterable[bytes]) -> None:
        """These tasks have ended. The caller holds the lock."""
        ended = set(ids)
        for waiter in self._waiters:
            if news := waiter.ids & ended:
                waiter.news |= news
                waiter.changed.notify_all()

    # --- Effects

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Step):
            return self._step(effect)
        if isinstance(effect, Listen):
            return self._listen(effect.waiter, effect.seconds)
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        raise TypeError(f"{effect!r} is not an effect of the memory store")

    def _step(self, step: Step) -> Any:
        with self._lock:
            if place := step.wake_on:
                place.changed.wait_for(lambda: place.wake, step.wait)
            return step.act()

    def _listen(self, waiter: HintWaiter, seconds: float) -> set[bytes]:
        with self._lock:
            waiter.changed.wait_for(lambda: waiter.news, seconds)
            news, waiter.news = waiter.news, set()
            return news
