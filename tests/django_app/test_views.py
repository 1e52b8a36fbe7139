"""`TaskResultView`, as a project puts it into its urls."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import RequestFactory

from django_task_helpers import courier, couriers
from django_task_helpers.views import TaskResultView
from task_helpers import task_function
from task_helpers.exceptions import PerformTaskError
from task_helpers.progress import Progress
from task_helpers.workers.classic import ClassicWorker
from tests.support.waiting import Stopwatch

REDIS = "task_helpers.couriers.redis.RedisClientWorkerTaskCourier"
MEMORY = "task_helpers.couriers.memory.MemoryClientWorkerTaskCourier"

view = TaskResultView.as_view(queue_name="reports")


def ask(task_id: UUID, method: str = "get", asked: Any = view) -> HttpResponse:
    request = getattr(RequestFactory(), method)("/reports/")
    response: HttpResponse = asked(request, task_id=task_id)
    return response


def perform(result: Any) -> None:
    [(task_id, _)] = courier.get_tasks("reports")
    courier.return_task_result("reports", task_id, result)


@pytest.fixture
def task_id(on_memory) -> UUID:
    on_memory()
    return courier.add_task_to_queue("reports", {"month": "2026-11"})


def test_a_task_is_followed_from_the_queue_to_its_result(task_id: UUID) -> None:
    # given a task that waits
    response = ask(task_id)
    assert (response.status_code, json.loads(response.content)) == (202, {"status": "waiting"})
    assert response["Retry-After"] == "1"
    assert "no-cache" in response["Cache-Control"]
    # when a worker takes it
    [(taken, _)] = courier.get_tasks("reports")
    response = ask(task_id)
    assert (response.status_code, json.loads(response.content)) == (202, {"status": "running"})
    # and says how far it is
    courier.set_progress("reports", {taken: Progress(0.4, "reading")})
    said = {"progress": 0.4, "message": "reading"}
    assert json.loads(ask(task_id).content) == {"status": "running", **said}
    # and returns its result, then it can be read, more than once
    courier.return_task_result("reports", taken, {"total": 3, "id": task_id})
    for _ in range(2):
        response = ask(task_id)
        assert response.status_code == 200
        assert json.loads(response.content) == {
            "status": "succeeded",
            "result": {"total": 3, "id": str(task_id)},
        }


def test_a_task_that_took_too_long_shows_what_its_waiter_gets(on_memory) -> None:
    on_memory()

    # given a function that is interrupted at its soft limit
    @task_function(name="tests.views.endless", soft_time_limit=0.05)
    def endless() -> None:
        time.sleep(20)

    task_id = courier.add_task_to_queue("reports", {"function": endless})
    ClassicWorker(courier, queue_name="reports").perform(1)
    # then it has the name that the documentation has
    assert json.loads(ask(task_id).content)["error"] == {
        "type": "TimeLimitExceeded",
        "message": "tests.views.endless ran longer than its soft_time_limit of 0.05 s",
    }


def test_a_failed_task_shows_its_error_without_a_traceback(task_id: UUID) -> None:
    perform(ValueError("no such month"))
    response = ask(task_id)
    assert response.status_code == 200
    assert json.loads(response.content) == {
        "status": "failed",
        "error": {"type": "ValueError", "message": "no such month"},
    }


def test_a_cancelled_task_says_so(task_id: UUID) -> None:
    assert courier.cancel_task("reports", task_id)
    answer = json.loads(ask(task_id).content)
    assert answer["status"] == "cancelled"
    assert answer["error"]["type"] == "TaskCancelled"


def test_an_unknown_task_is_not_found(on_memory) -> None:
    on_memory()
    response = ask(uuid4())
    assert (response.status_code, json.loads(response.content)) == (404, {"status": "unknown"})


def test_a_store_that_is_away_is_said_to_be(configured) -> None:
    # given a courier that tries for ten seconds, and no Redis behind it
    away = {"BACKEND": REDIS, "LOCATION": "redis://127.0.0.1:1/0"}
    configured({"COURIERS": {"default": away}})
    # when somebody polls, then the answer does not take so long
    watch = Stopwatch()
    response = ask(uuid4())
    assert watch.seconds < 1.8
    assert (response.status_code, json.loads(response.content)) == (503, {"status": "unavailable"})
    assert response["Retry-After"] == "1"


def test_the_courier_is_that_of_the_queue(configured) -> None:
    # given a queue on another courier than the default one
    both = {"default": {"BACKEND": MEMORY}, "slow": {"BACKEND": MEMORY}}
    configured({"COURIERS": both, "QUEUES": {"reports": {"COURIER": "slow"}}})
    task_id = couriers["slow"].add_task_to_queue("reports", 1)
    # when the view is asked, then it looks there, unless it is told otherwise
    assert ask(task_id).status_code == 202
    elsewhere = TaskResultView.as_view(queue_name="reports", courier_alias="default")
    assert ask(task_id, asked=elsewhere).status_code == 404


def test_what_is_shown_can_be_changed(task_id: UUID) -> None:
    # given a view that hides errors and shows sets
    class Discreet(TaskResultView):
        queue_name = "reports"

        def result_data(self, result: Any) -> Any:
            return sorted(result)

        def error_data(self, error: PerformTaskError) -> Any:
            return {"id": error.task_id}

    other_id = courier.add_task_to_queue("reports", 2)
    [(first, _), (second, _)] = courier.get_tasks("reports")
    courier.bulk_return_task_results("reports", [(first, {2, 1}), (second, ValueError("secret"))])
    # then its answers are made by these
    shown = [json.loads(ask(i, asked=Discreet.as_view()).content) for i in (task_id, other_id)]
    assert shown[0]["result"] == [1, 2]
    assert shown[1]["error"] == {"id": str(other_id)}


def test_nothing_is_shown_without_naming_the_queue() -> None:
    with pytest.raises(ImproperlyConfigured, match="as_view\\(queue_name="):
        TaskResultView.as_view()


def test_a_result_cannot_be_posted(task_id: UUID) -> None:
    assert ask(task_id, "post").status_code == 405
