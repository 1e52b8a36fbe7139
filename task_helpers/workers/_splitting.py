"""
A batch is run; when it raises, it may be run again in parts, until the guilty task is alone.

Pure: no I/O, no courier. The flow says what to run next, so that blocking and awaitable workers
can share it.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from task_helpers.effects import Effect, Flow
from task_helpers.effects import run as drive
from task_helpers.plurals import counted
from task_helpers.tasks import Task
from task_helpers.workers._execution import as_exception, results_of
from task_helpers.workers._failures import Failures, one_line

logger = logging.getLogger("task_helpers.workers")

HOPELESS = 16
"""
After so many tasks in a row that failed alone, a part is not split before a task of it succeeded.
What fails everything costs 47 runs of 500 tasks then, where halving to the end would cost 999.
"""

Parts = Callable[[list[Task]], list[list[Task]]]


def _halves(tasks: list[Task]) -> list[list[Task]]:
    middle = len(tasks) // 2
    return [tasks[:middle], tasks[middle:]]


def _each_alone(tasks: list[Task]) -> list[list[Task]]:
    return [[task] for task in tasks]


ON_BATCH_ERROR: dict[str, Parts | None] = {"fail": None, "split": _halves, "single": _each_alone}
"""By the values of the worker's field: into what a batch that raised is split."""


@dataclass(frozen=True, slots=True)
class Raised:
    """
    What `perform_tasks` raised. It is a reply and not thrown into the flow: a `GeneratorExit` of a
    task would end the flow.
    """

    error: BaseException


@dataclass(frozen=True, slots=True)
class Run(Effect):
    """
    `perform_tasks` with these tasks. Replies `results_of` what it returned, or `Raised`.

    - task_ids - of the tasks: user code may change the list.
    - queue - its name, for the log.
    """

    tasks: list[Task]
    task_ids: list[UUID]
    needs_results: bool
    queue: str

    def results_of(self, returned: Any) -> list[Task]:
        return results_of(returned, self.task_ids, self.needs_results, self.queue)


def perform_batch(
    perform_tasks: Callable[[list[Task]], Any], tasks: list[Task], batch: Batch
) -> list[Task]:
    """Drives a `Batch` with a blocking `perform_tasks`."""

    def attempt(run: Any) -> Any:
        try:
            return run.results_of(perform_tasks(run.tasks))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Raised(error)

    return drive(batch.perform(tasks), attempt)


class Batch:
    """
    Makes exactly one (task_id, result or exception) per task of one batch, in order.

    An error of a run fails its tasks, also one that is no `Exception`: `SystemExit` or a
    `CancelledError` must not end a worker that others wait for. `KeyboardInterrupt` passes:
    somebody wants the worker to stop.

    - queue - its name, for the log.
    - on_error - what becomes of a run that raised, a key of ON_BATCH_ERROR.
    - failures - what is told of them when the batch is done.
    """

    def __init__(self, needs_results: bool, queue: str, on_error: str, failures: Failures) -> None:
        self._needs_results = needs_results
        self._queue = queue
        self._parts = ON_BATCH_ERROR[on_error]
        self._failures = failures
        self._first_error = ""
        self._runs = 0
        self._failed = 0
        self._failed_in_a_row = 0

    def perform(self, tasks: list[Task]) -> Flow[list[Task]]:
        results = yield from self._run(tasks)
        self._failures.report(results, self._queue)
        if self._runs > 1:
            logger.log(
                logging.INFO if self._failed else logging.WARNING,
                "A batch of %s in queue %s raised %s and was performed in parts: %d of them "
                "failed, %d runs.",
                counted(len(results), "task"),
                self._queue,
                self._first_error,
                self._failed,
                self._runs,
            )
        return results

    def _run(self, tasks: list[Task]) -> Flow[list[Task]]:
        """Together, and when that raises, in parts."""
        task_ids = [task_id for task_id, _ in tasks]
        divide = self._division(tasks)
        self._runs += 1
        reply: list[Task] | Raised
        reply = yield Run(tasks, task_ids, self._needs_results, self._queue)
        if not isinstance(reply, Raised):
            self._failed_in_a_row = 0
            return reply
        if divide:
            self._first_error = self._first_error or one_line(reply.error)
            return (yield from self._run_parts(divide()))
        self._failed_in_a_row += 1
        return self._fail(task_ids, reply.error)

    def _division(self, tasks: list[Task]) -> Callable[[], list[list[Task]]] | None:
        """Gives the parts of tasks that failed together; None: their error is final."""
        parts = self._parts
        if parts is None or len(tasks) == 1:
            return None
        untouched = _untouched(tasks)
        return lambda: parts(untouched())

    def _run_parts(self, parts: list[list[Task]]) -> Flow[list[Task]]:
        """From the first to the last: what tasks do, they do in their order."""
        results = list[Task]()
        for part in parts:
            results += yield from self._run_part(part)
        return results

    def _run_part(self, part: list[Task]) -> Flow[list[Task]]:
        if self._failed_in_a_row < HOPELESS or len(part) == 1:
            return (yield from self._run(part))
        first = yield from self._run(part[:1])
        if not self._failed_in_a_row:
            return first + (yield from self._run(part[1:]))
        _, error = first[0]
        return first + self._fail([task_id for task_id, _ in part[1:]], error)

    def _fail(self, task_ids: list[UUID], error: BaseException) -> list[Task]:
        self._failures.note(task_ids, error)
        self._failed += len(task_ids)
        return [(task_id, as_exception(error)) for task_id in task_ids]


def _untouched(tasks: list[Task]) -> Callable[[], list[Task]]:
    """
    Gives the tasks as they are now, whatever user code does to their data meanwhile. One pickle of
    all data costs 0.1 to 3 µs a task, `deepcopy` 2 to 16. What cannot be pickled (only a serializer
    of the user's own makes such data) is given as it is.
    """
    task_ids = [task_id for task_id, _ in tasks]
    data = [task_data for _, task_data in tasks]
    try:
        pickled = pickle.dumps(data, pickle.HIGHEST_PROTOCOL)
    except Exception:
        return lambda: list(zip(task_ids, data, strict=True))
    return lambda: list(zip(task_ids, pickle.loads(pickled), strict=True))
