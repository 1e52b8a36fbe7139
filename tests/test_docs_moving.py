"""Moving between the database and Redis, step by step as docs/howto/moving-to-redis.md says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.docs import page
from tests.support.docs_processes import run
from tests.support.new_site import in_project

PAGE = page("docs/howto/moving-to-redis.md")
APPS = 'INSTALLED_APPS += ["django_task_helpers", "shop"]'
TASKS = """
from task_helpers import task_function


@task_function
def double(number):
    return 2 * number
"""
WORDS = """
import json
from django.db import transaction
from django.test import RequestFactory
from django_task_helpers import courier, couriers
from shop.views import ReportView

def add(number, **how):
    data = {"function": "shop.tasks.double", "args": (number,)}
    with transaction.atomic():
        return str(courier.add_task_to_queue("reports", data, on_commit=True, **how))

def result(alias, task_id):
    return couriers[alias].get_task_result("reports", task_id, delete_data=False)

def delayed(alias):
    stats = couriers[alias].get_queue_stats("reports")
    assert stats.waiting == stats.running == stats.dead == 0, stats
    return stats.delayed

def poll(task_id):
    view = ReportView.as_view(queue_name="reports")
    return json.loads(view(RequestFactory().get("/"), task_id=task_id).content)
"""
"""What the tests below ask the project for."""


def shown(file: str) -> str:
    [code] = [fence.code for fence in PAGE.fences if fence.file == file]
    return code


class Site:
    """A project with one queue, whose setting is written anew at each step."""

    def __init__(self, folder: Path, redis_url: str, prefix: str) -> None:
        self._folder = folder
        names: dict[str, Any] = {}
        exec(shown("mysite/settings.py"), names)
        self.couriers = names["TASK_HELPERS"]["COURIERS"]
        self.couriers["default"] |= {"LOCATION": redis_url, "OPTIONS": {"prefix": prefix}}

    def set(self, **couriers: Any) -> None:
        """Without any it is the database."""
        setting = {"QUEUES": {"reports": {}}, **({"COURIERS": couriers} if couriers else {})}
        (self._folder / "mysite/task_settings.py").write_text(f"TASK_HELPERS = {setting!r}\n")

    def tell(self, *questions: str) -> list[Any]:
        program = f"{WORDS}\nprint(json.dumps([{', '.join(questions)}]))"
        return json.loads(in_project(program, self._folder))

    def perform(self, command: str) -> int:
        """How many tasks the worker says that it performed."""
        assert command in PAGE.text
        output = run(shlex.split(command), self._folder)
        return int(re.findall(r"stopped \(no task to take now[^)]*\): (\d+)", output)[0])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moving")
    run(shlex.split("django-admin startproject mysite ."), folder)
    run(shlex.split("python manage.py startapp shop"), folder)
    (folder / "shop/tasks.py").write_text(TASKS)
    (folder / "shop/views.py").write_text(shown("shop/views.py"))
    (folder / "mysite/task_settings.py").write_text("")
    with (folder / "mysite/settings.py").open("a") as settings:
        settings.write(f"{APPS}\nfrom mysite.task_settings import *\n")
    run(shlex.split("python manage.py migrate"), folder)
    return folder


@pytest.fixture
def site(project: Path, redis_url: str, prefix: str) -> Site:
    site = Site(project, redis_url, prefix)
    site.set()
    return site


def test_the_rest_in_the_database_is_performed_while_new_tasks_go_to_redis(site: Site) -> None:
    # given a task that waits in the database, and a delayed one
    old, later = site.tell("add(1)", "add(2, delay=3600)")
    # when Redis is the default, a task is added, and a worker performs the rest
    site.set(**site.couriers)
    [new] = site.tell("add(3)")
    assert site.perform("python manage.py runworker reports --courier database --burst") == 1
    # then a worker with the new setting performs the new task, and the delayed one is where it was
    assert site.perform("python manage.py runworker reports --burst") == 1
    assert site.tell("delayed('database')", "delayed('default')") == [1, 0]
    # and each result is where its task was, which those who poll need not know
    assert site.tell(f"courier.get_task_status('reports', '{old}')") == ["unknown"]
    assert site.tell(f"result('database', '{old}')", f"result('default', '{new}')") == [2, 6]
    assert site.tell(f"poll('{old}')", f"poll('{later}')", f"poll('{new}')") == [
        {"status": "succeeded", "result": 2},
        {"status": "delayed"},
        {"status": "succeeded", "result": 6},
    ]


def test_a_site_that_stands_still_for_a_moment_needs_no_second_courier(site: Site) -> None:
    # given a task in the database
    [old] = site.tell("add(1)")
    # when it is performed before the setting changes
    assert site.perform("python manage.py runworker reports --burst") == 1
    assert site.tell(f"result('default', '{old}')") == [2]
    site.set(default=site.couriers["default"])
    # then the next one is performed from Redis
    [new] = site.tell("add(2)")
    assert site.perform("python manage.py runworker reports --burst") == 1
    assert site.tell(f"result('default', '{new}')") == [4]


def test_the_way_back_is_the_same(site: Site) -> None:
    # given a task in Redis
    site.set(**site.couriers)
    [old] = site.tell("add(1)")
    # when the two are exchanged
    site.set(default=site.couriers["database"], redis=site.couriers["default"])
    [new] = site.tell("add(2)")
    # then each is performed where it is
    assert site.perform("python manage.py runworker reports --courier redis --burst") == 1
    assert site.perform("python manage.py runworker reports --burst") == 1
    assert site.tell(f"result('redis', '{old}')", f"result('default', '{new}')") == [2, 4]
