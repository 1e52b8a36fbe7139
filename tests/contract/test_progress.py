"""What running tasks say of how far they are."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import pytest

from task_helpers.progress import MAX_MESSAGE, Progress
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Stand

HALF = Progress(0.5, "reading")


def said(status: TaskStatus) -> tuple[float | None, str]:
    return status.progress, status.message


def test_what_a_running_task_said_last_is_read_with_its_status(
    client: Any, worker: Any, queue: str
) -> None:
    # given three running tasks, two of which spoke
    ids = client.bulk_add_tasks_to_queue(queue, [1, 2, 3])
    worker.get_tasks(queue)
    worker.set_progress(queue, {ids[0]: HALF, ids[1]: Progress(0.1)})
    worker.set_progress(queue, {ids[1]: Progress(None, "größer")})
    # when their statuses are read
    statuses = [client.get_task_status(queue, task_id) for task_id in ids]
    # then each has its own words, and all equal RUNNING
    assert [said(status) for status in statuses] == [HALF, (None, "größer"), (None, "")]
    assert statuses == [TaskStatus.RUNNING] * 3 == ["running"] * 3


def test_progress_ends_with_the_task(client: Any, worker: Any, queue: str) -> None:
    ids = client.bulk_add_tasks_to_queue(queue, [1, 2])
    worker.get_tasks(queue)
    worker.set_progress(queue, dict.fromkeys(ids, HALF))
    worker.return_task_result(queue, ids[0], "done")
    worker.set_progress(queue, {ids[0]: HALF})
    assert said(client.get_task_status(queue, ids[0])) == (None, "")
    assert client.get_task_status(queue, ids[0]) == TaskStatus.SUCCEEDED
    assert said(client.get_task_status(queue, ids[1])) == HALF


@pytest.mark.parametrize("give_up", ["release", "lease"])
def test_the_next_attempt_does_not_show_the_words_of_the_former(
    client: Any, worker: Any, stand: Stand, queue: str, give_up: str
) -> None:
    # given a task that said how far it is, whose batch was given up
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    worker.set_progress(queue, {task_id: HALF})
    if give_up == "release":
        worker.release_tasks(queue)
    else:
        stand.pass_leases(queue)
    # when another worker has it
    other = stand.worker()
    assert [i for i, _ in other.bulk_wait_for_tasks(queue, 1, timeout=5)] == [task_id]
    # then it begins without a word, and the former worker has no say any more
    assert said(client.get_task_status(queue, task_id)) == (None, "")
    worker.set_progress(queue, {task_id: HALF})
    assert said(client.get_task_status(queue, task_id)) == (None, "")
    other.set_progress(queue, {task_id: Progress(0.2)})
    assert said(client.get_task_status(queue, task_id)) == (0.2, "")


def test_progress_of_a_task_that_is_not_held_is_not_kept(
    client: Any, worker: Any, queue: str
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.set_progress(queue, {task_id: HALF})
    assert said(client.get_task_status(queue, task_id)) == (None, "")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (Progress(2, "x" * 600), (1.0, "x" * MAX_MESSAGE)),
        (Progress(-1), (0.0, "")),
        (Progress(math.nan), (None, "")),
        (Progress(math.inf, "\udc80"), (1.0, "\\udc80")),
    ],
)
def test_odd_words_are_made_fit(
    client: Any, worker: Any, queue: str, given: Progress, shown: Any
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    worker.set_progress(queue, {task_id: given})
    assert said(client.get_task_status(queue, task_id)) == shown


def test_a_status_is_its_text_for_everybody_else() -> None:
    status = TaskStatus("running", 0.4, "reading")
    assert json.dumps(status) == '"running"'
    assert f"{status}" == "running"
    assert {status: 1}["running"] == 1
    assert repr(status) == "<TaskStatus running progress=0.4 message='reading'>"
    assert said(pickle.loads(pickle.dumps(status))) == (0.4, "reading")
    assert repr(TaskStatus.WAITING) == "<TaskStatus waiting>"


def test_the_attempt_of_a_task_is_known_to_who_holds_it(
    client: Any, worker: Any, queue: str
) -> None:
    task_id = client.add_task_to_queue(queue, 1)
    worker.get_task(queue)
    assert worker.get_attempt(queue, task_id) == 1
