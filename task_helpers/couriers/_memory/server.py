"""What couriers that talk to each other in memory share: queues, a lock, a clock, waiters."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from task_helpers.couriers._lookout import Lookout
from task_helpers.couriers._loop_waiters import LoopBell, LoopWaiter
from task_helpers.couriers._memory.queue import MemoryQueue
from task_helpers.effects import Effect, Listen, News, Sleep


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
        self._bells: set[LoopBell] = set()

    def wake_workers(self) -> None:
        self.wake = True
        self.changed.notify_all()
        for bell in self._bells:
            bell.ring()

    @contextmanager
    def ringing(self, bell: LoopBell) -> Iterator[LoopBell]:
        """Rings it whenever workers are woken."""
        with self.changed:
            self._bells.add(bell)
        try:
            yield bell
        finally:
            with self.changed:
                self._bells.discard(bell)


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
        self.lookout = Lookout()
        self.lookout_of_loops = Lookout(LoopWaiter)

    def place(self, queue_name: str) -> Place:
        with self._lock:
            return self._places[queue_name]

    def enqueued(self, queue_name: str) -> list[tuple[bytes, bytes]]:
        """(id, envelope) of the tasks that no worker has taken: first the waiting ones in order."""
        with self._lock:
            queue = self._places[queue_name].queue
            ids = [*queue.in_line(), *sorted(queue.delayed, key=queue.delayed.__getitem__)]
            return [(task_id, queue.tasks[task_id]) for task_id in ids]

    def tell(self, news: News) -> None:
        """Whoever waits, in threads and in event loops."""
        self.lookout.tell(news)
        self.lookout_of_loops.tell(news)

    # --- Effects

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Step):
            return self._step(effect)
        if isinstance(effect, Listen):
            return self._listen(effect)
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        raise TypeError(f"{effect!r} is not an effect of the memory store")

    def _step(self, step: Step) -> Any:
        with self._lock:
            if place := step.wake_on:
                place.changed.wait_for(lambda: place.wake, step.wait)
            return step.act()

    def _listen(self, effect: Listen) -> News | None:
        seconds = math.inf if effect.seconds is None else effect.seconds
        if not effect.waiter.pending():
            effect.waiter.wait(max(0.0, min(seconds, self.lookout.sweep_in())))
        if not effect.waiter.pending() and self.lookout.claims_sweep():
            return None
        return self.lookout.heard(effect.waiter)
