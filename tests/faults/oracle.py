"""What must be true of a queue whose tasks have all ended, whatever happened to its workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from task_helpers.exceptions import WorkerLost
from tests.faults.report import Figure, none
from tests.faults.stores import Store
from tests.faults.worker import f


@dataclass
class Verdict:
    """
    - results - per task what its waiter got: [value, token], or an exception as a value.
    - lost - without any result.
    - wrong - with a result that is not f(data).
    - changed - whose result was another one when it was read again.
    - failed - ended by an error.
    - left - what the store should not keep of the queue any more.
    """

    results: dict[UUID, Any]
    lost: list[UUID] = field(default_factory=list)
    wrong: list[UUID] = field(default_factory=list)
    changed: list[UUID] = field(default_factory=list)
    failed: dict[UUID, Exception] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    dead: int = 0

    def worker_lost(self) -> set[UUID]:
        return {i for i, error in self.failed.items() if isinstance(error, WorkerLost)}

    def figures(self) -> list[Figure]:
        """For runs in which no task is to fail."""
        return [
            none("tasks without a result", len(self.lost)),
            none("wrong results", len(self.wrong)),
            none("ids with two different results", len(self.changed)),
            none("tasks that failed", len(self.failed)),
            none("dead letters", self.dead),
            none("keys or tables left behind", len(self.left)),
        ]

    def broken(self) -> list[str]:
        """The same for one run of many: what is wrong, in words."""
        return [str(figure) for figure in self.figures() if not figure.kept]


class Oracle:
    """
    - numbers - what each task was given.
    """

    def __init__(
        self,
        store: Store,
        client: Any,
        queue: str,
        numbers: Mapping[UUID, int],
    ) -> None:
        self._store = store
        self._client = client
        self._queue = queue
        self._numbers = numbers

    def judge(self, seen: Mapping[UUID, Any]) -> Verdict:
        """
        - seen - what waiters got while the faults happened; compared with what is stored now.
        """
        verdict = Verdict(dict(seen))
        stored = self._read(list(self._numbers))
        for task_id, number in self._numbers.items():
            result = stored.get(task_id)
            if result is None:
                verdict.lost.append(task_id)
            elif isinstance(result, Exception):
                verdict.failed[task_id] = result
            elif result[0] != f(number):
                verdict.wrong.append(task_id)
            if task_id in seen and not _same(seen[task_id], result):
                verdict.changed.append(task_id)
        verdict.left = self._store.leftovers(self._queue)
        verdict.dead = self._client.get_queue_stats(self._queue).dead
        return verdict

    def _read(self, task_ids: Sequence[UUID]) -> dict[UUID, Any]:
        found: dict[UUID, Any] = {}
        for part in chunks(task_ids):
            try:
                results = self._client.bulk_wait_for_task_results(
                    self._queue, part, delete_data=False, timeout=0, return_exceptions=True
                )
            except TimeoutError:
                results = [self._result(task_id) for task_id in part]
            found.update(zip(part, results, strict=True))
        return found

    def _result(self, task_id: UUID) -> Any:
        try:
            return self._client.wait_for_task_result(
                self._queue, task_id, delete_data=False, timeout=0
            )
        except TimeoutError:
            return None
        except Exception as error:
            return error


def chunks(items: Sequence[UUID], size: int = 1000) -> Iterable[Sequence[UUID]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Exception):
        return type(one) is type(other)
    return bool(one == other)
