"""
What a queue does, in plain Python: no clock, no bytes, no keys but those a mistake can delete.

A batch is named by its token, as in Redis. Time is what a test says: a lease, a delay or a deadline
has passed or has not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from math import inf
from typing import Any

from task_helpers import ids
from task_helpers.retries import RetryPolicy
from task_helpers.tasks import TaskStatus
from tests.support.places import LATER, NEW, Batch, Id, Places, Task, Token

Result = tuple[str, Any, int]
"""("done", value, 0), or (the named end, its message, attempts)."""

CANCELLED: Result = ("TaskCancelled", "the task was cancelled", 0)
CONVICTING_CRASHES = 3


class QueueModel(Places):
    """Every id it was given is unfinished, or ended with one result, or forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[Id, Result] = {}
        self.dead: dict[Id, Task] = {}

    # --- The client

    def add(self, task_ids: Sequence[Id], tasks: Sequence[Task], due: float | None) -> None:
        """`due` - as the store keeps it: ms * 256 + rank; None: now; LATER: not by itself."""
        self.tasks.update(zip(task_ids, tasks, strict=True))
        for task_id in task_ids:
            if due is None:
                self._stand_in_line(task_id)
            else:
                self.delayed[task_id] = due

    def cancel(self, task_id: Id) -> bool:
        if self.results.get(task_id) == CANCELLED:
            return True
        if task_id not in self.tasks or self.is_running(task_id):
            return False
        self._end(task_id, CANCELLED)
        return True

    def shared(self, key: str) -> Id | None:
        """The unfinished task of this key."""
        return next((i for i, task in self.tasks.items() if task.key == key), None)

    def read(self, task_id: Id) -> Result | None:
        if ids.is_shared(task_id):
            return self.results.get(task_id)
        return self.results.pop(task_id, None)

    def status(self, task_id: Id) -> TaskStatus:
        if result := self.results.get(task_id):
            named = {"done": TaskStatus.SUCCEEDED, "TaskCancelled": TaskStatus.CANCELLED}
            return named.get(result[0], TaskStatus.FAILED)
        if task_id not in self.tasks:
            return TaskStatus.UNKNOWN
        if task_id in self.delayed:
            return TaskStatus.DELAYED
        return TaskStatus.RUNNING if self.is_running(task_id) else TaskStatus.WAITING

    # --- Damage

    def lose(self, index: str) -> None:
        super().lose(index)
        if index == "h":
            for task in self.dead.values():
                task.weight = 1

    # --- Taking

    def take(
        self,
        worker: int,
        count: int,
        reclaims: bool = True,
        loses_verdict: bool = False,
        token: Token = NEW,
        max_weight: float = inf,
    ) -> list[Id]:
        """
        - token - of a batch whose reply was lost: as long as it is there, the worker gets it again.
        - reclaims - False: the worker has just been through an outage and blames nobody.
        - loses_verdict - the reply of the first batch reclaimed is lost.
        """
        while True:
            if token not in self.batches:
                self.lease(worker, count, max_weight)
                token = NEW
            batch = self.batches.get(token)
            late = [t for t, b in self.batches.items() if b.leased and b.overdue and b is not batch]
            taken = batch.ids[:] if batch else []
            live = self._open(worker, batch) if batch else []
            late = sorted(late)[:10] if reclaims else []
            for other in late:
                self._reclaim(other, blamed=True, loses_verdict=loses_verdict)
                loses_verdict = False
            if live or not (taken or late):
                return live

    def lease(self, worker: int, count: int, max_weight: float = inf) -> None:
        """What Redis does at a take, before the worker knows of it."""
        if taken := self._line_up(count, max_weight):
            self.batches[NEW] = Batch(worker, taken, len(taken))

    def name_batch(self, token: Token) -> None:
        if NEW in self.batches:
            self.batches[token] = self.batches.pop(NEW)

    def _open(self, worker: int, batch: Batch) -> list[Id]:
        """What is to be performed; the deadline of the others has passed."""
        batch.leased, batch.overdue = True, False
        live = [i for i in batch.ids if not self.tasks[i].overdue]
        for task_id in set(batch.ids).difference(live):
            self._end(task_id, ("TaskExpired", "", self.tasks[task_id].attempts))
        for other in self._of(worker):  # held again, it is the new batch that a task belongs to
            other.owed = {i: None for i in other.owed if i not in live}
        batch.owed = dict.fromkeys(live)
        if not live:
            self._remove(batch)
        return live

    # --- Returning

    def give(self, worker: int, results: dict[Id, Any], policy: RetryPolicy) -> None:
        for task_id, value in results.items():
            batch = next((b for b in self._of(worker) if task_id in b.owed), None)
            if task_id in self.tasks:
                self._return(task_id, value, batch, policy)
            if batch:
                self._settle(batch, task_id)

    def acknowledge(self, worker: int, task_ids: Iterable[Id]) -> None:
        for task_id in task_ids:
            if task_id in self.tasks:
                self._end(task_id, None)
            for batch in self._of(worker):
                self._settle(batch, task_id)

    def _return(self, task_id: Id, value: Any, batch: Batch | None, policy: RetryPolicy) -> None:
        """A success counts whoever ran it; an error only under the lease of its batch."""
        task = self.tasks[task_id]
        if not isinstance(value, Exception):
            self._end(task_id, ("done", value, 0))
        elif batch is None or not batch.leased or task_id not in batch.ids:
            return
        elif _again(task, value, policy):
            self._leave(task_id)
            self.delayed[task_id] = LATER
            task.attempts += 1
            task.forget_crashes()
        else:
            self._fail(task_id, value, dead=policy.max_attempts > 1)

    def _fail(self, task_id: Id, error: Exception, dead: bool) -> None:
        task = self.tasks[task_id]
        self._end(task_id, ("PerformTaskError", str(error), task.attempts + 1))
        if dead:
            self.dead[task_id] = task

    def _settle(self, batch: Batch, task_id: Id) -> None:
        if task_id in batch.owed:
            del batch.owed[task_id]
            if not batch.owed:
                self._remove(batch)

    # --- Holding

    def renew(self, worker: int) -> None:
        for batch in self._of(worker):
            batch.overdue = batch.overdue and not batch.owed
            if not batch.leased:
                batch.owed.clear()

    def release(self, worker: int, task_ids: Collection[Id] | None) -> None:
        """All that the worker holds, or the batches of these tasks in this order."""
        held = [b for b in self._of(worker) if b.owed]
        if task_ids is not None:
            named = [b for i in task_ids for b in held if i in b.owed]
            held = list(dict.fromkeys(named))
        for batch in held:
            token = next(t for t, b in self.batches.items() if b is batch)
            self._reclaim(token, blamed=False)

    def bury(self, tokens: Sequence[Token]) -> None:
        """The worker with these batches was seen to die."""
        for token in tokens:
            self._reclaim(token, blamed=True)

    def _reclaim(self, token: Token, *, blamed: bool, loses_verdict: bool = False) -> None:
        batch = self.batches[token]
        if blamed:
            self._blame(batch)
        if blamed and batch.size == 1 and self._convicts(batch):
            if loses_verdict:
                batch.overdue = False  # whoever convicted it holds the batch, and does not know
                return
            [task_id] = batch.ids
            task = self.tasks[task_id]
            message = "each worker that took this task alone died"
            self._end(task_id, ("WorkerLost", message, task.attempts))
            self.dead[task_id] = task
            batch.ids = []
        self._dissolve(batch)

    def _blame(self, batch: Batch) -> None:
        for task in (self.tasks[i] for i in batch.ids):
            if task.alone < CONVICTING_CRASHES:
                task.alone += batch.size == 1
                task.in_company += batch.size > 1

    def _convicts(self, batch: Batch) -> bool:
        return any(self.tasks[i].alone >= CONVICTING_CRASHES for i in batch.ids)

    def _dissolve(self, batch: Batch) -> None:
        heads: list[Id] = []
        for task_id in batch.ids:
            task = self.tasks[task_id]
            few = self.few if task.alone == 0 and task.in_company == 1 else self.alone
            (few if task.alone or task.in_company else heads).append(task_id)
        self.pending[:0] = heads
        self._remove(batch)

    # --- Dead letters

    def requeue(self, task_ids: Sequence[Id]) -> int:
        """In the order given: that of the dead letters, newest first."""
        for task_id in task_ids:
            task = self.tasks[task_id] = self.dead.pop(task_id)
            task.attempts, task.key = 0, None
            task.limited = task.overdue = False
            task.forget_crashes()
            self.results.pop(task_id, None)
            self.pending.append(task_id)
        return len(task_ids)

    def delete_dead(self, task_ids: Iterable[Id]) -> int:
        return sum(self.dead.pop(task_id, None) is not None for task_id in set(task_ids))

    # --- Time

    def pass_deadlines(self) -> list[Id]:
        """Of tasks that no worker holds; which ones."""
        limited = [i for i, task in self.tasks.items() if task.limited and not self.is_running(i)]
        for task_id in limited:
            self.tasks[task_id].overdue = True
        return limited

    # --- Repair

    def repair(self) -> int:
        """Batches without a lease are dissolved, then what is nowhere waits again."""
        for batch in [b for b in self.batches.values() if not b.leased]:
            self._dissolve(batch)
        lost = [task_id for task_id in self.tasks if not self.is_placed(task_id)]
        self.pending += lost
        return len(lost)

    # --- The parts of these

    def _end(self, task_id: Id, result: Result | None) -> None:
        self._leave(task_id)
        self.tasks.pop(task_id).forget_crashes()
        if result:
            assert task_id not in self.results, "a second result"
            self.results[task_id] = result


def _again(task: Task, error: Exception, policy: RetryPolicy) -> bool:
    """Delays here are of days, deadlines of hours: what has one is not tried again after days."""
    delay = policy.delay_after(error, task.attempts + 1)
    return delay is not None and not (task.limited and delay > 86_400)
