"""From what `perform_tasks` returned to one result per task. Pure: no I/O, no courier."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from task_helpers.exceptions import TaskNotReturned
from task_helpers.plurals import counted
from task_helpers.tasks import Task

logger = logging.getLogger("task_helpers.workers")


def results_of(returned: Any, task_ids: list[UUID], needs_results: bool, queue: str) -> list[Task]:
    """
    Exactly one (task_id, result or exception) per task, in order. Raises what iterating over
    `returned` raises.

    - returned - by `perform_tasks`.
    - queue - its name, for the log.
    """
    if returned is None and not needs_results:
        return [(task_id, None) for task_id in task_ids]
    if isinstance(returned, list) and (in_order := _in_order(returned, task_ids)):
        return in_order
    results = _pairs(returned, task_ids, queue)
    if not needs_results:
        return [(task_id, results.get(task_id)) for task_id in task_ids]
    _report_missing(len(task_ids) - len(results), len(task_ids), queue)
    missing = _not_returned(returned)
    return [(task_id, results.get(task_id, missing)) for task_id in task_ids]


def _in_order(returned: list[Any], task_ids: list[UUID]) -> list[Task] | None:
    """What needs no search: each task once, in the order of the batch. Else None."""
    is_plain = set(map(type, returned)) == {tuple}
    try:
        pairs = returned.copy() if is_plain else [(task_id, result) for task_id, result in returned]
        return pairs if [task_id for task_id, _ in pairs] == task_ids else None
    except (TypeError, ValueError):
        return None


def _pairs(returned: Any, task_ids: Sequence[UUID], queue: str) -> dict[UUID, Any]:
    """The usable ones among the returned pairs; the first result of a task counts."""
    expected, results = set(task_ids), dict[UUID, Any]()
    foreign, repeated = list[Any](), list[UUID]()
    for item in () if returned is None else returned:
        task_id, result = _pair(item)
        if task_id not in expected:
            foreign.append(item)
        elif task_id in results:
            repeated.append(task_id)
        else:
            results[task_id] = result
    _report_foreign(foreign, queue)
    _report_repeated(repeated, queue)
    return results


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, (tuple, list)) and len(item) == 2 and isinstance(item[0], UUID):
        return item[0], item[1]
    return None, None


def _report_missing(missing: int, number: int, queue: str) -> None:
    if missing:
        logger.error(
            "%d of %s in queue %s got no result: return [(task_id, task_result), ...] with every "
            "task of the batch.",
            missing,
            _tasks(number),
            queue,
        )


def _report_foreign(items: Sequence[Any], queue: str) -> None:
    if items:
        logger.error(
            "perform_tasks of queue %s returned %s that are no task of the batch, such as %.200r: "
            "return (task_id, task_result) with the ids of the tasks it got.",
            queue,
            counted(len(items), "item"),
            items[0],
        )


def _report_repeated(task_ids: Sequence[UUID], queue: str) -> None:
    if task_ids:
        logger.error(
            "perform_tasks of queue %s returned %s twice, such as %s: the first result counts.",
            queue,
            _tasks(len(task_ids)),
            task_ids[0],
        )


def _tasks(number: int) -> str:
    return counted(number, "task")


def _not_returned(returned: Any) -> TaskNotReturned:
    if returned is None:
        return TaskNotReturned("perform_tasks returned None: return [(task_id, task_result), ...]")
    return TaskNotReturned("perform_tasks returned no result for this task")


def as_exception(error: BaseException) -> Exception:
    """What is no `Exception` crosses as the error of a task like any other."""
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"the task raised {_call_of(error)}")
    return wrapped.with_traceback(error.__traceback__)


def _call_of(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code})"
    return f"{type(error).__qualname__}({', '.join(map(str, error.args))})"
