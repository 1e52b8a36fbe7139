"""
All who wait for results in this process, and who of them looks for all when hints stay away.

Hints say that a result has come; they can be lost. So once a second, while anybody waits, one of
those who wait asks the store about everything that is awaited here: one question for a thousand
threads or coroutines. Only one asks at a time: an answer of many tasks takes longer than a second,
and a second question would make it longer still, and a third.
"""

from __future__ import annotations

import threading
import time

from task_helpers.effects import News

SWEEP_SECONDS = 1.0
"""Between two sweeps, and from the first one who waits to the first sweep."""

HUNG_SECONDS = 60.0
"""A sweep that takes longer has been given up, or its connection has: somebody else looks."""


class Waiter:
    """
    One caller.

    - queue, ids - what it waits for.
    - missing - those of the ids that it does not have yet; it takes out what it gets.
    - news - what it has not been told yet.
    - error - why nobody can know more.
    """

    __slots__ = ("_signal", "error", "ids", "missing", "news", "queue")

    def __init__(self, queue: str, missing: dict[bytes, None]) -> None:
        self.queue = queue
        self.missing = missing
        self.news: News = {}
        self.error: Exception | None = None
        self.ids = tuple(missing)
        self._signal = threading.Lock()  # a tenth of the price of an Event
        self._signal.acquire()

    def pending(self) -> bool:
        return bool(self.news) or self.error is not None

    def wait(self, seconds: float) -> None:
        """Until `wake`, also one of before, at most so many seconds."""
        self._signal.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """The caller holds the lock of the lookout: two must not release at once."""
        if self._signal.locked():
            self._signal.release()


class Lookout:
    """
    Safe for threads.

    - make_waiter - the class of the waiters: how they are woken depends on who waits.
    """

    def __init__(self, make_waiter: type[Waiter] = Waiter) -> None:
        self._make_waiter = make_waiter
        self.restart()

    def restart(self) -> None:
        """A forked child waits for nothing that its parent waited for."""
        self.lock = threading.Lock()
        self._by_id: dict[bytes, tuple[Waiter, ...]] = {}
        self._waiters: dict[Waiter, None] = {}
        self._next_sweep = 0.0
        self._sweep_until = 0.0

    # --- Those who wait

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiters)

    def register(self, queue: str, missing: dict[bytes, None]) -> Waiter:
        """From now on no news on these ids is lost."""
        waiter = self._make_waiter(queue, missing)
        with self.lock:
            if not self._waiters:
                self._next_sweep = time.monotonic() + SWEEP_SECONDS
            self._waiters[waiter] = None
            shared = self._by_id.keys() & missing.keys()
            others = {task_id: self._by_id[task_id] for task_id in shared}
            self._by_id.update(dict.fromkeys(missing, (waiter,)))
            for task_id, waiters in others.items():
                self._by_id[task_id] = (*waiters, waiter)
        return waiter

    def unregister(self, waiter: Waiter) -> None:
        with self.lock:
            self._waiters.pop(waiter, None)
            alone = (waiter,)
            for task_id in waiter.ids:
                if (waiters := self._by_id.pop(task_id, alone)) != alone:
                    self._by_id[task_id] = tuple(other for other in waiters if other is not waiter)

    def tell(self, news: News) -> None:
        """Tasks that nobody waits for are passed over."""
        with self.lock:
            woken: dict[Waiter, None] = {}
            for task_id, outcome in news.items():
                for waiter in self._by_id.get(task_id, ()):
                    waiter.news[task_id] = outcome or waiter.news.get(task_id, outcome)
                    woken[waiter] = None
            for waiter in woken:
                waiter.wake()

    def tell_all(self, error: Exception) -> None:
        """Nobody who waits now will learn anything soon."""
        with self.lock:
            for waiter in self._waiters:
                waiter.error = error
                waiter.wake()

    def heard(self, waiter: Waiter) -> News:
        """The news of a waiter since it last asked; raises its error."""
        if waiter.error is not None:
            raise waiter.error
        with self.lock:
            news, waiter.news = waiter.news, {}
        return news

    # --- The sweep

    def awaited(self) -> dict[str, list[bytes]]:
        """What is missing, by queue."""
        with self.lock:
            waiters = list(self._waiters)
        by_queue: dict[str, dict[bytes, None]] = {}
        for waiter in waiters:
            by_queue.setdefault(waiter.queue, {}).update(waiter.missing)
        return {queue: list(missing) for queue, missing in by_queue.items()}

    def sweep_in(self) -> float:
        """Seconds until somebody has to look for all, or to see whether a sweep has ended."""
        now = time.monotonic()
        return max(0.0, SWEEP_SECONDS if now < self._sweep_until else self._next_sweep - now)

    def hurry(self) -> None:
        """Hints may have been lost: somebody has to look now."""
        self._next_sweep = 0.0

    def claims_sweep(self, early: bool = False) -> bool:
        """
        True for one, when it is time: the caller looks for all, and says `ends_sweep`.

        - early - it is time unless somebody looks.
        """
        with self.lock:
            now = time.monotonic()
            due = self._sweep_until <= now and (early or self._next_sweep <= now)
            if due:
                self._next_sweep = now + SWEEP_SECONDS
                self._sweep_until = now + HUNG_SECONDS
            return due

    def ends_sweep(self) -> None:
        """Also one that failed. The next one begins a second after its beginning, or now."""
        self._sweep_until = 0.0
