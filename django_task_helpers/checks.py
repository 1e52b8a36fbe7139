"""
What `manage.py check` says of `TASK_HELPERS`. It opens no connection but that of `--database`.

    task_helpers.E001   something is missing or of the wrong type
    task_helpers.E002   an unknown key
    task_helpers.E003   BACKEND is no courier class
    task_helpers.E004   a Redis courier needs either CACHE or LOCATION, others neither
    task_helpers.E005   CACHE is no usable django-redis alias
    task_helpers.E006   LOCATION is no URL of a Redis
    task_helpers.E007   OPTIONS that the courier does not take
    task_helpers.E008   a queue name that is none
    task_helpers.E009   WORKER is no worker class
    task_helpers.E010   OPTIONS that the worker does not take
    task_helpers.E011   no courier has this alias
    task_helpers.E012   two workers for one queue
    task_helpers.E013   an app's `workers.py` cannot be imported
    task_helpers.E014   a worker whose constructor raises
    task_helpers.E015   DATABASE_ROUTERS keep the tables out of the database that is to hold tasks
    task_helpers.E016   that database has no autocommit
    task_helpers.W001   django-channels has a command `runworker` too
    task_helpers.W002   SQLite without WAL or IMMEDIATE transactions, outside DEBUG
    task_helpers.W003   a worker has what is nearly the name of a field
    task_helpers.W004   a database that `--database` lets be asked cannot hold tasks well
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

from django_task_helpers._database_checks import database_problems
from django_task_helpers._discovery import WorkerClass, worker_classes
from django_task_helpers.conf import CourierSettings, SettingError, read_settings
from django_task_helpers.couriers._database.concerns import concerns_of
from django_task_helpers.couriers.building import build_courier
from django_task_helpers.workers import make_queue, make_worker, worker_courier


def check_settings(**_: Any) -> list[CheckMessage]:
    """What is wrong in its shape; if nothing, each courier and worker that cannot be made."""
    settings, errors = read_settings()
    found = errors or (*_courier_errors(settings.couriers.values()), *_queue_errors())
    return [_message(error) for error in {error.problem: error for error in found}.values()]


def check_databases(databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """
    - databases - aliases of those that may be asked, by `check --database` and `migrate`.
    """
    holding = {_database_of(courier) for courier in read_settings()[0].couriers.values()}
    return [
        Warning(concern, id="task_helpers.W004")
        for alias in databases or ()
        if alias in holding
        for concern in concerns_of(connections[alias])
    ]


def check_command_name(**_: Any) -> list[CheckMessage]:
    if not apps.is_installed("channels"):
        return []
    return [
        Warning(
            "channels is installed too, and the app listed first has the command `runworker`.",
            hint="`manage.py runtaskworker` is always the one of django_task_helpers.",
            id="task_helpers.W001",
        )
    ]


def _courier_errors(settings: Iterable[CourierSettings]) -> Iterator[SettingError]:
    for one in settings:
        try:
            courier = build_courier(one)
        except SettingError as error:
            yield error
        else:
            yield from database_problems(getattr(courier, "using", None))


def _database_of(settings: CourierSettings) -> str | None:
    try:
        return getattr(build_courier(settings), "using", None)
    except SettingError:  # check_settings reports it
        return None


def _queue_errors() -> Iterator[SettingError]:
    try:
        found = worker_classes()
    except SettingError as error:
        yield error
        found = {}
    for name in sorted(read_settings()[0].queues.keys() | found.keys()):
        yield from _worker_errors(name, found.get(name, []))


def _worker_errors(name: str, found: list[WorkerClass]) -> Iterator[SettingError]:
    try:
        queue = make_queue(name, found)
        worker = make_worker(queue, worker_courier(queue.courier))
    except SettingError as error:
        yield error
        return
    for concern in worker.get_field_concerns():
        yield SettingError("W003", queue.worker_class.__module__, concern, "rename it")


def _message(error: SettingError) -> CheckMessage:
    kind = Warning if error.id.startswith("task_helpers.W") else Error
    return kind(error.problem, hint=f"{error.remedy}.", id=error.id)
