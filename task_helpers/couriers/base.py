"""
The blocking couriers: what users call. What stands here is true of every backend.

Every method takes `queue_name`, 1 to 100 of the characters A-Z a-z 0-9 _ . : - (otherwise
`InvalidQueueName`). Durations are seconds or a `timedelta`. When the store behind the courier
cannot be reached for `retry_seconds`, a method raises `CourierUnavailable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Unpack
from uuid import UUID

from task_helpers.couriers._client_flows import ClientFlows
from task_helpers.couriers._common import TaskCourier as TaskCourier
from task_helpers.couriers._worker_flows import WorkerFlows
from task_helpers.couriers.options import AddOptions, CallOptions, CourierOptions
from task_helpers.couriers.store import Store
from task_helpers.durations import Duration
from task_helpers.effects import Perform
from task_helpers.progress import Progress
from task_helpers.retries import RetryPolicy
from task_helpers.tasks import Task, TaskStatus


class ClientTaskCourier(TaskCourier):
    """Adds tasks and gets their results. Safe to share between threads, and after a fork."""

    def __init__(self, store: Store, perform: Perform, options: CourierOptions) -> None:
        super().__init__(store, perform, options)
        self._client = ClientFlows(store, options)

    def add_task_to_queue(
        self, queue_name: str, task_data: Any, **options: Unpack[AddOptions]
    ) -> UUID:
        """
        Adds one task and returns its id.

        - task_data - what `perform_tasks` gets. A registered function under the key "function" is
          sent by its name.
        - priority - -100 to 100, higher ones first; 0 by default.
        - delay - not to be taken before this duration has passed.
        - run_at - not to be taken before this aware `datetime`.
        - expires - a duration after which nobody wants the result: a task not taken by then
          ends with `TaskExpired`.
        - weight - how much of a batch it takes where workers have a `max_batch_weight`: a whole
          number from 0 to 1,000,000,000; 1 by default.
        - key - 1 to 200 characters: while another task of this key is unfinished in the queue,
          nothing is added, and the id is that of the other one. Its result can be read by all.

        Raises `SerializationError` and `PayloadTooLarge` for task_data that cannot be sent,
        `UnknownFunction` for a function that is not registered, `QueueFull` and `StoreFull` when
        there is no room. In each case nothing was added.
        """
        return self._run(self._client.add(queue_name, [task_data], **options))[0]

    def bulk_add_tasks_to_queue(
        self, queue_name: str, tasks_data: Iterable[Any], **options: Unpack[AddOptions]
    ) -> list[UUID]:
        """
        As `add_task_to_queue` for many at once; their ids in the same order. They are sent 1,000
        or 8 MB at a time: when the store fails or becomes full in between, the first are queued.
        Raises `TypeError` for a text or a dict, which would be the data of one task.
        """
        return self._run(self._client.add(queue_name, tasks_data, **options))

    def call(
        self,
        queue_name: str,
        task_data: Any,
        *,
        timeout: Duration,
        **options: Unpack[CallOptions],
    ) -> Any:
        """
        Adds a task, waits for its result and returns it. The timeout becomes the task's deadline:
        a worker does not begin what nobody waits for any more. If the store loses its data
        meanwhile, the task is added again. If the caller is interrupted, as by Ctrl-C, a task that
        no worker has taken is cancelled, unless it has a key. `priority`, `weight` and `key` are
        those of `add_task_to_queue`.

        Raises `TaskTimeout` (a `TimeoutError`), the `PerformTaskError` that the task ended with,
        and what `add_task_to_queue` raises.
        """
        return self._run(self._client.call(queue_name, task_data, timeout, **options))

    def get_task_result(
        self, queue_name: str, task_id: UUID | str, delete_data: bool = True
    ) -> Any:
        """
        The result, if the task has ended; `TaskResultDoesNotExist` if it has none now. Raises the
        `PerformTaskError` that the task ended with.

        - delete_data - False leaves the result to be read again, until it expires.
        """
        return self._run(self._client.get(queue_name, task_id, delete_data))

    def wait_for_task_result(
        self,
        queue_name: str,
        task_id: UUID | str,
        delete_data: bool = True,
        timeout: Duration | None = None,
    ) -> Any:
        """
        Waits for the result and returns it.

        - timeout - how long; None waits until the task has an end, 0 does not wait.

        Raises `TaskTimeout` (a `TimeoutError`) when the time is up, the `PerformTaskError` that
        the task ended with, and `TaskLost` (one of these) as soon as it is clear that no result
        will come.
        """
        return self.bulk_wait_for_task_results(queue_name, [task_id], delete_data, timeout)[0]

    def bulk_wait_for_task_results(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool = True,
        timeout: Duration | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """
        Waits for all of the results and returns them in the order of the ids.

        - return_exceptions - True puts the `PerformTaskError` of a failed task in the place of its
          result; False raises the first one, when all tasks have ended. The other results can
          then be read again, whatever delete_data says.
        """
        return self._run(
            self._client.wait(queue_name, task_ids, delete_data, timeout, return_exceptions)
        )

    def iter_task_results(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool = True,
        timeout: Duration | None = None,
    ) -> Iterator[Task]:
        """
        Waits for the results and yields (task_id, result) in the order in which they come; the
        `PerformTaskError` of a failed task in the place of its result. Raises `TimeoutError` when
        one is missing after the timeout, which begins with the iteration. Whoever stops before the
        end can still read the results that were not yielded.
        """
        with self._client.completing(queue_name, task_ids, delete_data, timeout) as some:
            while results := self._run(some()):
                yield from results

    def check_for_done(self, queue_name: str, task_id: UUID | str) -> bool:
        """Whether the task has a result that can be read now."""
        return self._run(self._client.done(queue_name, task_id))

    def get_task_status(self, queue_name: str, task_id: UUID | str) -> TaskStatus:
        """
        Where the task is. Of a running one it also has what the task said of its progress, see
        `TaskStatus`.
        """
        return self._run(self._client.status(queue_name, task_id))

    def cancel_task(self, queue_name: str, task_id: UUID | str) -> bool:
        """
        Ends a task that no worker has taken: it never runs, and whoever waits for it gets
        `TaskCancelled`. True as well if it was cancelled before; False when it runs, has ended
        otherwise or is not known.
        """
        return self._run(self._client.cancel(queue_name, task_id))


class WorkerTaskCourier(TaskCourier):
    """
    Takes tasks and returns their results.

    What it takes is leased to it for `options.lease` seconds. A `BaseWorker` renews the lease;
    whoever uses the courier by hand returns the results within it, or calls `renew_leases`.
    Otherwise another worker gets the tasks too, and the first result counts.
    """

    def __init__(self, store: Store, perform: Perform, options: CourierOptions) -> None:
        super().__init__(store, perform, options)
        self._worker = WorkerFlows(store, options)

    @property
    def worker_id(self) -> bytes:
        """Eight bytes that mark what this courier takes, see `reclaim_tasks_of`."""
        return self._worker.worker_id

    @worker_id.setter
    def worker_id(self, worker_id: bytes) -> None:
        self._worker.worker_id = worker_id

    def get_task(self, queue_name: str) -> Task:
        """Takes one task: (task_id, task_data). `TaskDoesNotExist` when there is none now."""
        return self._run(self._worker.get(queue_name))

    def get_tasks(self, queue_name: str, max_count: int = 100) -> list[Task]:
        """Takes up to max_count tasks: [(task_id, task_data), ...]; [] when there are none now."""
        return self._run(self._worker.take(queue_name, max_count))

    def wait_for_task(self, queue_name: str, timeout: Duration | None = None) -> Task:
        """Waits for a task and takes it. None waits for ever; `TimeoutError` when time is up."""
        return self.bulk_wait_for_tasks(queue_name, 1, timeout)[0]

    def bulk_wait_for_tasks(
        self,
        queue_name: str,
        max_count: int,
        timeout: Duration | None = None,
        linger: Duration = 0,
        *,
        min_tasks: int | None = None,
        max_weight: int | None = None,
        stopping: Callable[[], bool] | None = None,
        beside: bool = False,
    ) -> list[Task]:
        """
        Waits for tasks and takes up to max_count of them, at most 1,000.

        - timeout - how long to wait for a first task; None waits for ever.
        - linger - how long the oldest waiting task may wait, from when it was added, for the batch
          to fill. Nothing is held meanwhile; a batch that is full is taken at once.
        - min_tasks - so many waiting tasks are taken without lingering for more; None: max_count.
        - max_weight - take no task whose `weight` would make that of the batch exceed this, unless
          it is the first; None: any.
        - stopping - is asked several times a second while a batch fills, and once a second while
          no task waits; True ends the wait, and what waits is left to others.
        - beside - True: this process performs other batches at the same time. When it dies, no
          task is blamed as if it had been alone; perform those of `are_suspects` by themselves.

        Raises `TimeoutError` when no task came in time, or `stopping` ended the wait.
        """
        return self._run(
            self._worker.wait(
                queue_name,
                max_count,
                timeout,
                linger,
                min_tasks,
                stopping,
                max_weight=max_weight,
                beside=beside,
            )
        )

    def return_task_result(self, queue_name: str, task_id: UUID | str, task_result: Any) -> None:
        """Stores the result and acknowledges the task, see `bulk_return_task_results`."""
        self._run(self._worker.give(queue_name, [(task_id, task_result)]))

    def bulk_return_task_results(
        self,
        queue_name: str,
        tasks: Iterable[Task],
        retry: RetryPolicy | None = None,
        *,
        soon: bool = False,
    ) -> None:
        """
        Stores the results of [(task_id, task_result), ...] and acknowledges the tasks in one step.

        An `Exception` as result fails its task, and so does a result that cannot be encoded or is
        larger than `max_result`: whoever waits gets `PerformTaskError`. If a task has an end
        already, that one stays. Of a task that this courier does not hold a result counts, an
        `Exception` does not.

        - retry - which failed tasks are performed again instead, and when. One that is not, of a
          policy with more than one attempt, is kept as a dead letter.
        - soon - for a caller that takes its next batch at once: results of a whole batch may go
          along with that, and the caller goes on while they are written.
        """
        self._run(self._worker.give(queue_name, tasks, retry, soon))

    def acknowledge_tasks(
        self, queue_name: str, task_ids: Iterable[UUID], *, soon: bool = False
    ) -> None:
        """
        Ends tasks whose results nobody wants: nothing is stored.

        - soon - as for `bulk_return_task_results`.
        """
        self._run(self._worker.acknowledge(queue_name, task_ids, soon))

    def renew_leases(
        self, queue_name: str, worker_name: str, task_ids: Iterable[UUID] | None = None
    ) -> None:
        """
        Extends the leases of the batches of these tasks (None: all that this courier holds) by
        `options.lease`, and reports that the worker of this name lives. Call it well before a
        lease runs out.
        """
        self._run(self._worker.renew(queue_name, worker_name, task_ids))

    def are_suspects(self, queue_name: str, task_ids: Iterable[UUID]) -> bool:
        """
        Whether a worker died with some of these tasks, which this courier holds: whoever performs
        several batches at the same time performs theirs alone. Asks no store.
        """
        return self._worker.suspects(queue_name, task_ids)

    def set_progress(self, queue_name: str, progress: Mapping[UUID, Progress]) -> None:
        """
        Keeps how far tasks are, for `get_task_status`: {task_id: Progress(0.4, "reading")}. Of a
        task that this courier does not hold nothing is kept. Does not wait long for a store that
        is away.
        """
        self._run(self._worker.progress(queue_name, progress))

    def get_attempt(self, queue_name: str, task_id: UUID) -> int:
        """
        Which execution of a task that this courier holds the present one is; 1: the first, also
        of one that it does not hold. Asks no store.
        """
        return self._worker.attempt(queue_name, task_id)

    def reclaim_tasks_of(self, queue_name: str, worker_id: bytes) -> int:
        """
        The worker whose courier had this `worker_id` is dead: its tasks go back to the queue at
        once, as suspects, instead of when its lease runs out. Returns how many batches it held.
        Does not wait long for a store that is away: then the lease does it.
        """
        return self._run(self._worker.bury(queue_name, worker_id))

    def get_store_concerns(self) -> list[str]:
        """What is wrong with the settings of the store itself, a line each."""
        return self._run(self._worker.concerns())

    def release_tasks(self, queue_name: str, task_ids: Iterable[UUID] | None = None) -> None:
        """
        Gives the batches of these tasks (None: all that this courier holds) back to the queue, for
        others to take at once. Does not wait long for a store that is away: then their lease runs
        out.
        """
        self._run(self._worker.release(queue_name, task_ids))

    def say_farewell(self, queue_name: str, worker_name: str) -> None:
        """Reports that the worker of this name has stopped."""
        self._run(self._worker.farewell(queue_name, worker_name))


class ClientWorkerTaskCourier(ClientTaskCourier, WorkerTaskCourier):
    """Both sides."""
