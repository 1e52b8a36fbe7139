"""What the loop of a worker knows: all of it in one object, under one name."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from task_helpers.couriers.base_async import AsyncWorkerTaskCourier
from task_helpers.tasks import Task
from task_helpers.workers._coroutines import Loops
from task_helpers.workers._crew import Crew
from task_helpers.workers._failures import Failures
from task_helpers.workers._held import Held
from task_helpers.workers._pacing import Pacing
from task_helpers.workers._progress import ProgressWriter
from task_helpers.workers._threads import Threads
from task_helpers.workers._watchdog import Watchdog


@dataclass(eq=False)
class Shift:
    """
    Worker classes are the users', and so are the names of their attributes, but for the one that
    this is kept under.

    - name - the worker's, in the store.
    - batch - the tasks at hand. An interrupted worker leaves them here, to be given back.
    - held - the batches whose leases are renewed.
    - beside - True: several batches are performed at the same time.
    - goes_on - inside `perform`, which takes the next batch when one is done, and nothing of the
      user's is called in between.
    - full - the batch at hand is as large as it may be, so more tasks are likely to wait.
    - hurries - its results may go along with the next take.
    """

    progress: ProgressWriter
    failures: Failures
    name: str = ""
    batch: list[UUID] = field(default_factory=list)
    held: Held = field(default_factory=Held)
    beside: bool = False
    goes_on: bool = False
    full: bool = False
    hurries: bool = False
    pacing: Pacing = field(default_factory=Pacing)
    stopping: bool = False  # no Event: its lock may be held when a signal calls `stop`

    @property
    def hurry(self) -> dict[str, bool]:
        """For the courier that is given the results; nothing where it need not know of that."""
        return {"soon": True} if self.hurries else {}

    def takes(self, tasks: list[Task]) -> None:
        """These are the tasks at hand, until they are `dropped`."""
        self.batch = [task_id for task_id, _ in tasks]
        self.held.begins(self.batch)

    def dropped(self) -> list[UUID]:
        """What was at hand. It is not any more, and its lease is not renewed."""
        batch, self.batch = self.batch, []
        if batch:
            self.held.ends(batch)
        return batch


@dataclass(eq=False)
class ThreadedShift(Shift):
    """
    - crew - the threads; None: the one that called `perform` is all there is.
    - taking - held by who takes tasks, and by who sees that nobody does.
    """

    crew: Crew | None = None
    taking: threading.Lock = field(default_factory=threading.Lock)

    def at_hand(self) -> list[UUID]:
        return self.batch + (self.crew.at_hand() if self.crew else [])


@dataclass(eq=False)
class ClassicShift(ThreadedShift):
    """
    - results - of the batch at hand, so far.
    """

    watchdog: Watchdog = field(default_factory=Watchdog)
    loops: Loops = field(default_factory=Loops)
    results: list[Task] = field(default_factory=list)


@dataclass(eq=False)
class AsyncShift(Shift):
    """
    - courier - the awaitable one.
    - batches - those that are performed.
    - interrupted - tasks to be given back.
    - threads - those that plain functions are called in.
    """

    courier: AsyncWorkerTaskCourier = field(init=False)
    batches: dict[asyncio.Task[None], list[UUID]] = field(default_factory=dict)
    interrupted: list[UUID] = field(default_factory=list)
    threads: Threads = field(default_factory=partial(Threads, 1, ""))
