"""Callers that give up: what no worker has begun for them is not begun any more."""

from __future__ import annotations

from typing import Any

import pytest

from task_helpers import exceptions
from task_helpers.effects import Effect, Listen
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Stand


class Interrupted:
    """Ctrl-C while a caller waits for hints, after `meanwhile`."""

    def __init__(self, courier: Any, meanwhile: Any = lambda: None) -> None:
        self._perform = courier._perform
        self._meanwhile = meanwhile
        self._waited = False
        courier._perform = self

    def __call__(self, effect: Effect) -> Any:
        if isinstance(effect, Listen) and not self._waited:
            self._waited = True
            self._meanwhile()
            raise KeyboardInterrupt
        return self._perform(effect)


def test_the_task_of_an_interrupted_call_never_runs(client: Any, worker: Any, queue: str) -> None:
    # given a call that is interrupted while its task waits
    Interrupted(client)
    with pytest.raises(KeyboardInterrupt):
        client.call(queue, 1, timeout=60)
    # then no worker gets the task, and it counts as cancelled
    assert worker.get_tasks(queue) == []
    assert worker.get_queue_stats(queue).cancelled == 1


def test_a_task_that_runs_is_not_abandoned(client: Any, worker: Any, queue: str) -> None:
    taken: list[Any] = []
    Interrupted(client, lambda: taken.extend(worker.get_tasks(queue)))
    with pytest.raises(KeyboardInterrupt):
        client.call(queue, 1, timeout=60)
    [(task_id, _)] = taken
    assert client.get_task_status(queue, task_id) == TaskStatus.RUNNING


def test_a_call_whose_time_is_up_raises_an_error_of_ours_and_its_task_expires(
    stand: Stand, client: Any, worker: Any, queue: str
) -> None:
    with pytest.raises(exceptions.TaskTimeout, match="no result yet") as caught:
        client.call(queue, 1, timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    stand.pass_time(0.02)
    assert worker.get_tasks(queue) == []
    assert worker.get_queue_stats(queue).expired == 1
