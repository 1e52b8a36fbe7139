"""The client's verbs on a database: adding, reading and waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b

from django_task_helpers.couriers._database import vendors
from django_task_helpers.couriers._database.admission import Admission
from django_task_helpers.models import Result, SharedKey, Task
from task_helpers.couriers.backends import chunks
from task_helpers.couriers.parcels import IN_LINE, Looked, Placement
from task_helpers.effects import Flow
from task_helpers.exceptions import CourierError

FEWEST_FORGOTTEN, MOST_FORGOTTEN = 20, 100
"""Results that are deleted after one add."""

SHARE_TRIES = 100
"""Another task of the key that ends between two statements costs one."""


class ClientVerbs(Admission):
    """See `Store`."""

    def add(
        self,
        queue: str,
        tasks: Sequence[tuple[bytes, bytes]],
        place: Placement = IN_LINE,
        unless: Callable[[CourierError], None] | None = None,
        again: bool = False,
    ) -> Flow[None]:
        """The first chunk is admitted only if all of them fit, so a bulk add is all or nothing."""
        left = len(tasks)
        for chunk in chunks(tasks, _size):
            count = left if left == len(tasks) else 0
            left -= len(chunk)
            add = partial(self._add, queue, chunk, place, count)
            repeat = partial(add, repeated=True)
            yield from self._ask.query(repeat if again else add, repeat)

    def _add(
        self,
        queue: str,
        tasks: Sequence[tuple[bytes, bytes]],
        place: Placement,
        admitted: int,
        repeated: bool = False,
    ) -> None:
        """
        - admitted - for how many tasks there has to be room.
        - repeated - what was added the first time may have ended meanwhile.
        """
        now = self._now()
        if repeated:
            ended = self._outcomes(queue, [task_id for task_id, _ in tasks])
            tasks = [task for task in tasks if task[0] not in ended]
        alone = len(tasks) <= vendors.rows_at_once(self._using) and not self._door.bounded
        with self._writing(alone):
            self._admit(queue, [task_id for task_id, _ in tasks], admitted, place, now)
            self._insert(queue, tasks, place, now)
        self._forget_read()

    def share(
        self, queue: str, task: tuple[bytes, bytes], key: bytes, place: Placement = IN_LINE
    ) -> Flow[bytes]:
        row = SharedKey(key=_key(queue, key), queue=queue, task_id=task[0])
        share = partial(self._share, row, task, place)
        return self._ask.query(share, partial(share, repeated=True))

    def _share(
        self, row: SharedKey, task: tuple[bytes, bytes], place: Placement, repeated: bool = False
    ) -> bytes:
        for _ in range(SHARE_TRIES):
            with suppress(SharedKey.DoesNotExist), self._writing():
                self._of(SharedKey).bulk_create([row], ignore_conflicts=True)
                held: bytes = self._of(SharedKey).select_for_update().get(key=row.key).task_id
                if held == task[0]:
                    self._add_shared(row, task, place, repeated)
                return held
        raise CourierError(f"the tasks of a key in queue {row.queue} ended too fast: try again")

    def _add_shared(
        self, row: SharedKey, task: tuple[bytes, bytes], place: Placement, repeated: bool
    ) -> None:
        """Within a transaction. A task that ended since it was added has freed its key: so here."""
        if repeated and self._outcomes(row.queue, [task[0]]):
            self._of(SharedKey).filter(key=row.key).delete()
            return
        now = self._now()
        self._admit(row.queue, [task[0]], 1, place, now)
        self._insert(row.queue, [task], place, now)

    # --- Results

    def outcomes(self, queue: str, ids: Sequence[bytes]) -> Flow[list[bytes | None]]:
        found = yield from self._ask.query(partial(self._outcomes, queue, ids))
        return [found.get(task_id) for task_id in ids]

    def look(self, queue: str, ids: Sequence[bytes]) -> Flow[Looked]:
        return self._ask.query(partial(self._look, queue, ids))

    def _look(self, queue: str, ids: Sequence[bytes]) -> Looked:
        """In this order: one that ends in between has an outcome."""
        unfinished = {i for (i,) in vendors.rows_of(self._using, Task, ("id",), ids, queue=queue)}
        found = self._outcomes(queue, ids)
        return Looked(found, [i for i in ids if i not in unfinished and i not in found])

    def forget(self, queue: str, ids: Sequence[bytes], *, soon: bool = False) -> Flow[None]:
        if soon:
            self._read.extend(ids)
        else:
            yield from self._ask.query(partial(self._forget, ids))

    def _forget(self, ids: Sequence[bytes]) -> None:
        vendors.delete(self._using, Result, ids)

    def _forget_read(self) -> None:
        """
        What was to be deleted soon goes after tasks that are added, when it is worth a statement;
        else it expires by itself.
        """
        if len(self._read) < FEWEST_FORGOTTEN:
            return
        taken: list[bytes] = []
        with suppress(IndexError):  # another thread took the last one along
            while len(taken) < MOST_FORGOTTEN:
                taken.append(self._read.popleft())
        self._forget(taken)


def _size(task: tuple[bytes, bytes]) -> int:
    return len(task[1])


def _key(queue: str, key: bytes) -> bytes:
    return blake2b(queue.encode() + b" " + key, digest_size=20).digest()
