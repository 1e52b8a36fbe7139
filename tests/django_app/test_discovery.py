"""A wait at a queue that the project does not know, and what its error says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

from django_task_helpers import async_courier, courier
from django_task_helpers.workers import known_queues
from task_helpers.exceptions import TaskTimeout

WAYS: dict[str, Callable[[str], Any]] = {
    "call": lambda queue: courier.call(queue, "milk", timeout=0),
    "wait": lambda queue: courier.wait_for_task_result(queue, added(queue), timeout=0),
    "iterate": lambda queue: list(courier.iter_task_results(queue, [added(queue)], timeout=0)),
    "await": lambda queue: asyncio.run(async_courier.call(queue, "milk", timeout=0)),
}


def added(queue: str) -> Any:
    return courier.add_task_to_queue(queue, "milk")


def error_of(queue: str, wait: Callable[[str], Any] = WAYS["call"]) -> str:
    with pytest.raises(TaskTimeout) as caught:
        wait(queue)
    assert caught.value.queue_name == queue
    return str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_a_wait_at_an_unknown_queue_says_so(on_memory, way: str) -> None:
    # given a project whose workers are imported, as by a check
    on_memory({"notes": {}})
    known_queues()
    # when the time of a wait is up that misspelt the queue, then the error says so
    assert error_of("note", WAYS[way]).endswith(
        "is a worker running? 'note' is no known queue: did you mean 'notes'? known: "
        "bulk_data_saving, notes"
    )


@pytest.mark.parametrize("queue", ["notes", "bulk_data_saving"])
def test_of_a_known_queue_nothing_is_said(on_memory, queue: str) -> None:
    on_memory({"notes": {}})
    known_queues()
    assert error_of(queue).endswith("is a worker running?")


def test_nothing_is_said_or_imported_while_workers_may_know_the_queue(
    on_memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an app whose workers.py this process has not imported
    on_memory({"notes": {}}, INSTALLED_APPS=[*settings.INSTALLED_APPS, "nameless"])
    known_queues()
    monkeypatch.delitem(sys.modules, "nameless.workers")
    # when the time of a wait is up
    said = error_of("note")
    # then its queue may be one of that app
    assert said.endswith("is a worker running?")
    assert "nameless.workers" not in sys.modules


def test_a_project_that_knows_no_queue_is_told_nothing(on_memory) -> None:
    without = [app for app in settings.INSTALLED_APPS if not app.startswith("shop")]
    on_memory(INSTALLED_APPS=without)
    assert error_of("note").endswith("is a worker running?")
