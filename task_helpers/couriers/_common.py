"""What both sides of a courier share: its options, and the upkeep of queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from task_helpers.couriers._upkeep_flows import UpkeepFlows
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.stats import QueueStats
from task_helpers.couriers.store import Store
from task_helpers.effects import Flow, Perform, run
from task_helpers.tasks import DeadLetter

T = TypeVar("T")


class TaskCourier:
    """
    What the client and the worker side share.

    - options - the `CourierOptions` in force.
    - works_across_processes - False: only couriers in the same process see its tasks.
    """

    works_across_processes: ClassVar[bool] = True
    _twin: ClassVar[Any] = None
    """The class of what `awaitable` makes."""

    def __init__(self, store: Store, perform: Perform, options: CourierOptions) -> None:
        self.options = options
        self._store = store
        self._perform = perform
        self._upkeep = UpkeepFlows(store, options)

    def close(self) -> None:
        """Closes the connections of this courier; using it again opens new ones."""

    def leave_thread(self) -> None:
        """For a thread that ends: closes what the courier opened for this thread alone."""

    def awaitable(self) -> Any:
        """
        The courier whose methods are coroutines, with the same options, over the same store: an
        `AsyncClientTaskCourier`, `AsyncWorkerTaskCourier` or both. It holds the same batches: what
        the one takes, the other may renew and return. `TypeError` when this backend has none.
        """
        raise TypeError(f"there is no awaitable courier for a {type(self).__name__}")

    def _sharing_batches(self, twin: Any) -> Any:
        if worker := getattr(self, "_worker", None):
            twin._worker = worker
        return twin

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._perform)

    def get_queue_stats(self, queue_name: str, *, patient: bool = True) -> QueueStats:
        """
        How many tasks wait, are delayed, run or are dead, and which workers report.

        - patient - False raises `CourierUnavailable` after about a second without an answer,
          instead of trying for `retry_seconds`: for a page that somebody waits for.
        """
        return self._run(self._upkeep.stats(queue_name, patient))

    def get_dead_letters(self, queue_name: str, max_count: int = 100) -> list[DeadLetter]:
        """The newest tasks that were given up, with the error of each."""
        return self._run(self._upkeep.dead_letters(queue_name, max_count))

    def requeue_dead_letters(self, queue_name: str, task_ids: Iterable[UUID | str]) -> int:
        """
        Gives dead letters another chance, with all of their attempts and no deadline. Whoever
        asks for the result waits for the new one. Returns how many are in the queue now.
        """
        return self._run(self._upkeep.requeue(queue_name, task_ids))

    def delete_dead_letters(self, queue_name: str, task_ids: Iterable[UUID | str]) -> int:
        """Forgets dead letters for good. Returns how many there were."""
        return self._run(self._upkeep.delete(queue_name, task_ids))

    def repair_queue(self, queue_name: str) -> int:
        """
        Queues again what is unfinished and in no line, after somebody deleted or an incomplete
        restore lost parts of the queue. Reads the whole queue, without holding the store up.
        Returns how many tasks there were.
        """
        return self._run(self._upkeep.repair(queue_name))
