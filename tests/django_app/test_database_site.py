"""A project without `TASK_HELPERS`: what Django makes of tasks in the project's own database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import path
from pytest_django.plugin import DjangoDbBlocker

from config import environment
from django_task_helpers import courier, couriers
from django_task_helpers.couriers.database import DatabaseClientWorkerTaskCourier
from django_task_helpers.views import TaskResultView
from task_helpers.exceptions import WorkerLost
from task_helpers.testing import run_queue
from task_helpers.workers.base import BaseWorker
from tests.support.databases import database
from tests.support.docs_processes import run

ROOT = Path(__file__).resolve().parents[2]
PATHS = [ROOT, ROOT / "testproject", Path(__file__).parent / "site"]
PATIENCE = 30


class Echo(BaseWorker):
    queue_name = "reports"

    def perform_tasks(self, tasks: Any) -> Any:
        return tasks


def start(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"id": courier.add_task_to_queue("reports", "hello")}, status=202)


def wait(request: HttpRequest, task_id: UUID) -> HttpResponse:
    return JsonResponse({"result": courier.wait_for_task_result("reports", task_id, timeout=0)})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("start/", start),
    path("wait/<uuid:task_id>/", wait),
    path("reports/<uuid:task_id>/", TaskResultView.as_view(queue_name="reports")),
]


@pytest.fixture
def site(db: None, configured: Any, settings: Any) -> Client:
    """A client of a site that names no courier."""
    settings.ROOT_URLCONF = __name__
    configured(None)
    return Client()


# --- In this process


def test_without_the_setting_tasks_are_in_the_default_database(site: Client) -> None:
    assert list(couriers) == ["default"]
    assert isinstance(couriers["default"], DatabaseClientWorkerTaskCourier)
    assert couriers["default"].using == "default"


def test_a_setting_that_names_no_courier_means_the_same(db: None, configured: Any) -> None:
    configured({"QUEUES": {"reports": {}}})
    assert isinstance(couriers["default"], DatabaseClientWorkerTaskCourier)


def test_a_task_is_followed_by_its_url(site: Client) -> None:
    url = f"/reports/{site.get('/start/').json()['id']}/"
    assert site.get(url).json() == {"status": "waiting"}
    run_queue(courier, Echo)
    assert site.get(url).json() == {"status": "succeeded", "result": "hello"}
    assert site.get(f"/reports/{uuid4()}/").status_code == 404


def test_a_late_answer_is_one_of_the_middleware(site: Client) -> None:
    task_id = site.get("/start/").json()["id"]
    answer = site.get(f"/wait/{task_id}/")
    assert (answer.status_code, answer["Retry-After"]) == (504, "5")


def test_the_admin_shows_its_queues(site: Client) -> None:
    # given a queue with a task
    site.force_login(User.objects.create_superuser("boss"))
    site.get("/start/")
    # when the page is asked for, with a worker elsewhere
    page = site.get("/admin/django_task_helpers/queue/").content.decode()
    # then it has numbers, and nothing went wrong
    assert "bulk_data_saving" in page
    assert "errornote" not in page


# --- As processes


@pytest.fixture(params=["sqlite", "postgres"])
def url(
    request: Any, tmp_path: Path, configured: Any, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """Of a database that this process uses by the default courier."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'site.sqlite3'}"
        return
    with request.getfixturevalue("postgres").database() as url:
        yield url


@pytest.fixture
def migrated(url: str, configured: Any, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    backend = "django_task_helpers.couriers.database.DatabaseClientWorkerTaskCourier"
    options = {"using": "site"}
    with django_db_blocker.unblock(), database("site", **environment.database(url)):
        configured({"COURIERS": {"default": {"BACKEND": backend, "OPTIONS": options}}})
        yield url


@pytest.fixture
def manage() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start_command(url: str, *arguments: str) -> subprocess.Popen[str]:
        paths = os.pathsep.join(map(str, PATHS))
        settings = {"DJANGO_SETTINGS_MODULE": "database_settings", "PYTHONPATH": paths}
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "testproject/manage.py"), *arguments],
            env={**os.environ, **settings, "DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start_command
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_burst_drains_the_queue(migrated: str, manage: Any) -> None:
    # given tasks
    ids = courier.bulk_add_tasks_to_queue("mortal", range(5))
    # when a worker runs until there are none
    worker = manage(migrated, "runworker", "mortal", "--burst")
    printed, _ = worker.communicate(timeout=PATIENCE)
    # then each has its result
    assert worker.returncode == 0, printed
    assert "5 tasks in 5 batches" in printed
    assert courier.bulk_wait_for_task_results("mortal", ids, timeout=5) == [worker.pid] * 5


def test_a_worker_that_dies_is_replaced_by_one_with_connections_of_its_own(
    migrated: str, manage: Any
) -> None:
    # given two processes under one supervisor
    worker = manage(migrated, "runworker", "mortal", "--processes", "2")
    assert courier.call("mortal", 1, timeout=PATIENCE)
    # when a task kills one after another
    with pytest.raises(WorkerLost):
        courier.call("mortal", "die", timeout=PATIENCE)
    # then others take their places, and none has a part in what another says
    ids = courier.bulk_add_tasks_to_queue("mortal", range(300))
    assert len(set(courier.bulk_wait_for_task_results("mortal", ids, timeout=PATIENCE))) == 2
    worker.send_signal(signal.SIGTERM)
    printed, _ = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("how", [(), ("--burst",)], ids=["supervised", "burst"])
def test_without_tables_the_command_says_what_to_run(
    url: str, manage: Any, how: tuple[str, ...]
) -> None:
    worker = manage(url, "runworker", "mortal", *how)
    printed, _ = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 1
    last = printed.splitlines()[-1]
    assert "CommandError: database 'default' lacks a table" in last
    assert "run manage.py migrate django_task_helpers --database default" in last
    assert "Traceback" not in printed


ADDS_WITHOUT_THE_APP = """
import django
from django.conf import settings

sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}
settings.configure(DATABASES={"default": sqlite})
django.setup()
from django_task_helpers import courier

try:
    courier.add_task_to_queue("reports", 1)
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def test_without_the_app_the_error_says_to_install_it(tmp_path: Path) -> None:
    # given a project whose INSTALLED_APPS lack the app, for which `migrate` knows no tables
    printed = run(["python", "-c", ADDS_WITHOUT_THE_APP], tmp_path)
    # then the line names both things to do
    assert printed == (
        "CourierError: database 'default' lacks a table (no such table: django_task_helpers_task): "
        'add "django_task_helpers" to INSTALLED_APPS, and run manage.py migrate '
        "django_task_helpers --database default\n"
    )
