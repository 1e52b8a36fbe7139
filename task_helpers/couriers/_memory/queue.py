"""One queue in memory: what the scripts of the Redis store do, on plain Python structures."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from task_helpers.couriers._memory.tally import CANCELLED, Tally
from task_helpers.couriers.parcels import Again, Buried, Way
from task_helpers.couriers.store import CONVICTING_CRASHES

RANK_OF_NONE = 100
"""The rank of priority 0; tasks of a lower rank are taken first."""

ALONE = 1_000
"""What a crash alone counts, one in company counts 1."""

CONVICTED = CONVICTING_CRASHES * ALONE


@dataclass(slots=True)
class Batch:
    """The ids that one worker took together, and when its lease runs out."""

    ids: list[bytes]
    deadline: int
    suspects: bool = False
    company: bool = False
    notes: dict[bytes, bytes] = field(default_factory=dict)  # id -> how far it is


class MemoryQueue:
    """
    The state of a queue and the steps that change it. Times are ms; the caller holds the lock.

    - tasks - id -> envelope: the truth, a task is unfinished exactly while it is here. The
      structures below may hold ids that have left it; they are skipped.
    """

    def __init__(self) -> None:
        self.tasks: dict[bytes, bytes] = {}
        self.delayed: dict[bytes, tuple[int, int]] = {}  # id -> due, rank
        self.batches: dict[bytes, Batch] = {}  # by token
        self.dead: dict[bytes, Buried] = {}  # oldest first
        self.weights: dict[bytes, int] = {}  # of tasks and dead letters, where it is not 1
        self.by_key: dict[bytes, bytes] = {}  # key -> unfinished task
        self._keys: dict[bytes, bytes] = {}  # the same the other way round
        self.workers: dict[str, int] = {}  # name -> when it last reported
        self.tally = Tally()
        self._ready: list[tuple[int, int, bytes]] = []  # heap of rank, sequence, id
        self._few: deque[bytes] = deque()  # crashed a worker once, in company
        self._alone: deque[bytes] = deque()  # more often, or alone
        self._crashes: dict[bytes, int] = {}
        self._results: dict[bytes, tuple[bytes, int]] = {}  # id -> outcome, expiry; oldest first
        self._behind = itertools.count(1)
        self._before = itertools.count(-1, -1)

    # --- Clients

    def add(
        self, tasks: Sequence[tuple[bytes, bytes]], rank: int, due: int, weight: int = 1
    ) -> None:
        for task_id, envelope in tasks:
            if task_id not in self.tasks:
                self.tasks[task_id] = envelope
                if weight != 1:
                    self.weights[task_id] = weight
                if due:
                    self.delayed[task_id] = due, rank
                else:
                    self._push(task_id, rank)

    def set_key(self, task_id: bytes, key: bytes) -> None:
        self.by_key[key] = task_id
        self._keys[task_id] = key

    def outcome(self, task_id: bytes, now: int) -> bytes | None:
        outcome, expiry = self._results.get(task_id, (None, 0))
        return outcome if expiry > now else None

    def store_outcome(self, task_id: bytes, outcome: bytes, now: int, ttl: int) -> None:
        while self._results and self._results[oldest := next(iter(self._results))][1] <= now:
            del self._results[oldest]
        self._results[task_id] = outcome, now + ttl

    def forget(self, task_ids: Sequence[bytes]) -> None:
        for task_id in task_ids:
            self._results.pop(task_id, None)

    def cancel(self, task_id: bytes, now: int) -> bool:
        if task_id not in self.tasks or self.is_running(task_id):
            return False
        self._remove(task_id)
        self.weights.pop(task_id, None)
        self.tally.count(CANCELLED, now)
        return True

    def is_running(self, task_id: bytes) -> bool:
        return any(task_id in batch.ids for batch in self.batches.values())

    def note_of(self, task_id: bytes) -> bytes | None:
        notes = (b.notes.get(task_id) for b in self.batches.values() if task_id in b.ids)
        return next(notes, None)

    def in_line(self) -> Iterator[bytes]:
        """The ids that wait, in the order in which they would be taken; suspects first."""
        ready = (task_id for _, _, task_id in sorted(self._ready))
        return (i for i in itertools.chain(self._alone, self._few, ready) if i in self.tasks)

    # --- Workers

    def take(
        self,
        token: bytes,
        max_count: int,
        lease: int,
        now: int,
        beside: bool,
        max_weight: int | None,
    ) -> Batch:
        """The same token gives the same batch, with a fresh lease."""
        self._promote(now)
        most = math.inf if max_weight is None else max_weight
        batch = self.batches.get(token) or Batch(self._picked(max_count, most), 0)
        batch.deadline = now + lease
        if batch.ids:
            self.batches[token] = batch
            batch.suspects = not self._crashes.keys().isdisjoint(batch.ids)
            batch.company = beside and not batch.suspects
        if batch.ids or not self.has_waiting():
            self.tally.drain.note_take(now, self.has_waiting())
        return batch

    def has_waiting(self) -> bool:
        return bool(self._alone or self._few or self._ready)

    def has_suspects(self) -> bool:
        return bool(self._alone or self._few)

    def overdue(self, now: int) -> list[bytes]:
        return [token for token, batch in self.batches.items() if batch.deadline <= now]

    def finish(
        self, token: bytes, way: Way, task_id: bytes, outcome: bytes, most_dead: int, now: int
    ) -> bool:
        """False: refused. A success counts while unfinished, an error only under its lease."""
        held = token in self.batches
        if task_id not in self.tasks or not (held or way is Way.DONE):
            return False
        if way is Way.DEAD:
            self.dead[task_id] = Buried(task_id, self.tasks[task_id], outcome, now)
            for oldest in list(self.dead)[:-most_dead]:
                self.delete_dead(oldest)
        self._remove(task_id)
        self.tally.count(way, now)
        if way is not Way.DEAD:
            self.weights.pop(task_id, None)
        return True

    def progress(self, token: bytes, notes: Sequence[tuple[bytes, bytes]]) -> None:
        if batch := self.batches.get(token):
            batch.notes.update(note for note in notes if note[0] in self.tasks)

    def release(self, token: bytes) -> None:
        """Nobody is blamed."""
        if batch := self.batches.pop(token, None):
            self._requeue([i for i in batch.ids if i in self.tasks])

    def retry(self, token: bytes, task: Again, now: int) -> bool:
        """False: refused. The task leaves its batch, which keeps its size: it was company."""
        batch = self.batches.get(token)
        if batch is None or task.task_id not in batch.ids or task.task_id not in self.tasks:
            return task.task_id in self.delayed
        batch.ids[batch.ids.index(task.task_id)] = b""
        self.tasks[task.task_id] = task.envelope
        self.delayed[task.task_id] = now + task.delay, RANK_OF_NONE - task.priority
        self._crashes.pop(task.task_id, None)
        return True

    def reclaim(self, token: bytes, lease: int, now: int, dead: bool) -> tuple[int, bytes | None]:
        """
        Dissolves a batch that is overdue or whose worker is dead. Returns how many tasks are
        queued again, or a convicted one, whose batch is kept instead.
        """
        batch = self.batches.get(token)
        if batch is None or (batch.deadline > now and not dead):
            return 0, None
        blame = ALONE if len(batch.ids) == 1 and not batch.company else 1
        for task_id in (unfinished := [i for i in batch.ids if i in self.tasks]):
            self._crashes[task_id] = self._crashes.get(task_id, 0) + blame
            if blame == ALONE and self._crashes[task_id] >= CONVICTED:
                batch.deadline = now + lease
                return 0, task_id
        del self.batches[token]
        self._requeue(unfinished)
        return len(unfinished), None

    def report(self, worker: str, now: int, forgotten_after: int) -> None:
        self.workers[worker] = now
        silent = [name for name, seen in self.workers.items() if seen <= now - forgotten_after]
        for name in silent:
            del self.workers[name]

    def forget_worker(self, worker: str) -> None:
        self.workers.pop(worker, None)

    # --- Upkeep

    def requeue_dead(self, task_id: bytes, envelope: bytes) -> bool:
        if self.dead.pop(task_id, None) is None:
            return task_id in self.tasks
        self._results.pop(task_id, None)
        self.tasks[task_id] = envelope
        self._push(task_id, RANK_OF_NONE)
        return True

    def delete_dead(self, task_id: bytes) -> bool:
        if self.dead.pop(task_id, None) is None:
            return False
        self.weights.pop(task_id, None)
        return True

    # --- The parts of these

    def _push(self, task_id: bytes, rank: int) -> None:
        heapq.heappush(self._ready, (rank, next(self._behind), task_id))

    def _promote(self, now: int) -> None:
        due = sorted((due, rank, i) for i, (due, rank) in self.delayed.items() if due <= now)
        for _, rank, task_id in due:
            del self.delayed[task_id]
            self._push(task_id, rank)

    def _picked(self, max_count: int, max_weight: float) -> list[bytes]:
        """One that is taken alone, or few suspects, or any number of the others."""
        return (
            self._filled(self._suspects(self._alone), 1, max_weight)
            or self._filled(self._suspects(self._few), max(1, max_count // 16), max_weight)
            or self._filled(self._unsuspected(), max_count, max_weight)
        )

    def _filled(self, line: Iterator[bytes], max_count: int, max_weight: float) -> list[bytes]:
        picked, weight = list[bytes](), 0
        for task_id in line:
            weight += self.weights.get(task_id, 1)
            if len(picked) == max_count or (picked and weight > max_weight):
                break
            picked.append(task_id)
        return picked

    def _suspects(self, line: deque[bytes]) -> Iterator[bytes]:
        """Each stays in line until the next one is asked for; so below."""
        while line:
            if line[0] in self.tasks:
                yield line[0]
            line.popleft()

    def _unsuspected(self) -> Iterator[bytes]:
        while self._ready:
            if (task_id := self._ready[0][2]) in self.tasks:
                yield task_id
            heapq.heappop(self._ready)

    def _requeue(self, task_ids: Sequence[bytes]) -> None:
        crashes = {task_id: self._crashes.get(task_id, 0) for task_id in task_ids}
        self._few.extend(i for i in task_ids if crashes[i] == 1)
        self._alone.extend(i for i in task_ids if crashes[i] > 1)
        for task_id in reversed(task_ids):  # the first of the batch is first again
            if not crashes[task_id]:
                heapq.heappush(self._ready, (RANK_OF_NONE, next(self._before), task_id))

    def _remove(self, task_id: bytes) -> None:
        del self.tasks[task_id]
        if (key := self._keys.pop(task_id, None)) is not None:
            del self.by_key[key]
        self.delayed.pop(task_id, None)
        self._crashes.pop(task_id, None)
