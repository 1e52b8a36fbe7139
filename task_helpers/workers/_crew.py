"""Threads that perform tasks side by side, and one that returns what is ready."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from task_helpers.couriers.store import MAX_BATCH
from task_helpers.exceptions import CourierError
from task_helpers.plurals import counted
from task_helpers.tasks import Task
from task_helpers.workers._execution import as_exception
from task_helpers.workers._held import Held

logger = logging.getLogger("task_helpers.workers")

LONGEST_GOODBYE = 1.0
"""Seconds in which idle threads end; what they leave open meanwhile ends with the process."""


class Duties(NamedTuple):
    """
    What the threads do.

    - perform - gives the result of a batch of one.
    - give - returns results to the store, for as long as that makes sense.
    - leave - called in each thread before it ends.
    """

    perform: Callable[[list[Task]], list[Task]]
    give: Callable[[list[Task]], None]
    leave: Callable[[], None]


class Crew:
    """
    - size - how many threads.
    - name - that of the queue.

    `begin` and `dismiss` are called by one thread, the one that takes tasks.
    """

    def __init__(self, size: int, duties: Duties, held: Held, name: str) -> None:
        self._size = size
        self._duties = duties
        self._held = held
        self._name = name
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._busy = 0  # tasks that are performed, or about to be
        self._at_hand: dict[UUID, list[UUID]] = {}  # these, and those whose result is on its way
        self._threads = [
            threading.Thread(target=self._work, name=f"task_helpers {name} {n}", daemon=True)
            for n in range(size)
        ]
        self._returning = threading.Thread(
            target=self._return, name=f"task_helpers results {name}", daemon=True
        )
        for thread in (*self._threads, self._returning):
            thread.start()

    def at_hand(self) -> list[UUID]:
        """The tasks that have not got their end yet."""
        with self._changed:
            return list(self._at_hand)

    def room(self) -> int:
        """How many tasks could begin now. Results that wait for the store do not pile up."""
        return min(self._size - self._busy, 2 * self._size - len(self._at_hand))

    def wait_for_room(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.room() > 0, seconds)

    def wait_until_idle(self, seconds: float) -> bool:
        """True: nothing is at hand."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._at_hand, seconds)

    def wait_until_returned(self, seconds: float) -> bool:
        """True: nothing is at hand but what is performed."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._at_hand) <= self._busy, seconds)

    def begin(self, tasks: list[Task]) -> None:
        with self._changed:
            self._at_hand.update((task_id, [task_id]) for task_id, _ in tasks)
            self._busy += len(tasks)
        for task in tasks:
            self._held.begins(self._at_hand[task[0]])
            self._tasks.put(task)

    def dismiss(self) -> None:
        """Its threads end after what they perform. Waits for them where nothing is performed."""
        for _ in self._threads:
            self._tasks.put(None)
        self._ready.put(None)
        if not self._at_hand:
            for thread in (*self._threads, self._returning):
                thread.join(LONGEST_GOODBYE)

    # --- The threads

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            [result] = self._performed(task)
            self._held.waits([task[0]])
            self._ready.put(result)
            with self._changed:
                self._busy -= 1
                self._changed.notify()
        self._leave()

    def _performed(self, task: Task) -> list[Task]:
        try:
            return self._duties.perform([task])
        except BaseException as error:  # a KeyboardInterrupt of its own: nobody pressed Ctrl-C
            return [(task[0], as_exception(error))]

    def _return(self) -> None:
        while results := self._next_results():
            try:
                self._duties.give(results)
            except CourierError as error:
                logger.error("%s could not be returned: %s", self._described(results), error)
            except Exception:
                logger.exception("%s could not be returned.", self._described(results))
            self._settle(results)
        self._leave()

    def _described(self, results: list[Task]) -> str:
        return f"{counted(len(results), 'result')} of queue {self._name}"

    def _next_results(self) -> list[Task]:
        """What is ready, at least one; what becomes ready while it is returned goes together."""
        results = list[Task]()
        while len(results) < MAX_BATCH and not (results and self._ready.empty()):
            if (result := self._ready.get()) is None:
                self._ready.put(None)
                break
            results.append(result)
        return results

    def _settle(self, results: list[Task]) -> None:
        """What could not be returned is left to its lease."""
        for task_id, _ in results:
            self._held.ends([task_id])
        with self._changed:
            for task_id, _ in results:
                self._at_hand.pop(task_id, None)
            self._changed.notify()

    def _leave(self) -> None:
        try:
            self._duties.leave()
        except Exception:
            logger.exception("A thread did not end as it should.")
