"""
The queues of a project and their workers.

    build_worker("bulk_data_saving").perform(total_iterations=500)

is what `manage.py runworker` does, for scripts and tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django_task_helpers._databases import fresh_connections as fresh_connections
from django_task_helpers._databases import live_among_databases
from django_task_helpers._discovery import (
    WorkerClass,
    classes_of_apps,
    path_of,
    place_of,
    worker_classes,
)
from django_task_helpers.conf import (
    QueueSettings,
    SettingError,
    get_settings,
    known,
    named_class,
    place,
)
from django_task_helpers.couriers import couriers
from django_task_helpers.couriers.building import courier_settings
from task_helpers.couriers.base import TaskCourier, WorkerTaskCourier
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.exceptions import InvalidQueueName
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.classic import ClassicWorker


@dataclass(frozen=True)
class Queue:
    """
    A queue that the project knows.

    - courier - alias of the courier that brings its tasks.
    - options - the class fields that `TASK_HELPERS` sets.
    """

    name: str
    worker_class: WorkerClass
    courier: str
    options: Mapping[str, Any]


def known_queues() -> dict[str, Queue]:
    """
    The queues of `TASK_HELPERS["QUEUES"]` and those of worker classes in the apps' `workers.py`,
    by name, sorted. Imports these modules. Raises `ImproperlyConfigured` for unusable settings.
    """
    found = worker_classes()
    names = sorted(get_settings().queues.keys() | found.keys())
    return {name: make_queue(name, found.get(name, [])) for name in names}


def make_queue(name: str, found: list[WorkerClass]) -> Queue:
    """
    - found - the classes that the apps define for it.

    Raises `SettingError` when it is not clear which worker or courier it has.
    """
    settings = get_settings().queue(name)
    _check_name(name, found)
    courier_settings(settings.courier, settings.where("COURIER"))
    worker_class = _chosen(settings, found)
    _check_options(settings, worker_class)
    return Queue(name, worker_class, settings.courier, settings.options)


def build_worker(queue_name: str, courier_alias: str | None = None, **fields: Any) -> BaseWorker:
    """
    A worker for a known queue that keeps Django's database connections fresh around each call of
    `perform_tasks`, and makes it a transaction where the worker's `atomic` says so.

    - courier_alias - names the courier in `TASK_HELPERS`; None: that of the queue.
    - fields - class fields of the worker; they go before those of the settings.

    Raises `UnknownQueue`, and `ImproperlyConfigured` for unusable settings.
    """
    queues = known_queues()
    if queue_name not in queues:
        raise UnknownQueue(
            f"there is no queue {queue_name!r}: {known(queues, queue_name)}. A queue has an entry "
            f"in {place('QUEUES')}, or a worker class with its queue_name in an app's workers.py"
            f"{_nameless()}"
        )
    queue = queues[queue_name]
    task_courier = worker_courier(courier_alias or queue.courier)
    return make_worker(queue, task_courier, **fields)


def make_worker(queue: Queue, task_courier: WorkerTaskCourier, **fields: Any) -> BaseWorker:
    """As `build_worker`. Opens no connection. Raises `SettingError` for what is no worker."""
    given = {**queue.options, **fields}
    if queue.worker_class.queue_name != queue.name:
        given["queue_name"] = queue.name
    worker = _constructed(queue, task_courier, given)
    try:
        worker.check_fields()
        live_among_databases(worker)
    except (ValueError, TypeError) as error:
        where, remedy = _blamed(queue, fields, str(error))
        raise SettingError("E010", where, str(error), remedy) from error
    return worker


def worker_courier(alias: str) -> WorkerTaskCourier:
    """The courier of this alias; raises `SettingError` for one that takes no tasks."""
    courier_settings(alias)
    courier = cast(TaskCourier, couriers[alias])
    if not isinstance(courier, WorkerTaskCourier):
        remedy = "name a courier for workers or for both sides"
        what = f"{type(courier).__name__} takes no tasks"
        raise SettingError("E003", place("COURIERS", alias, "BACKEND"), what, remedy)
    return courier


class UnknownQueue(LookupError):
    """No settings and no worker class are known for a queue."""


def _nameless() -> str:
    """Of classes that no queue has, for the end of a message: some may be meant as bases."""
    paths = [path_of(found) for found in classes_of_apps() if _is_nameless(found)]
    has = "has" if len(paths) == 1 else "have"
    return f"; {' and '.join(paths)} {has} no queue_name" if paths else ""


def _is_nameless(worker_class: WorkerClass) -> bool:
    """Nor a base of others, nor named in the settings."""
    if worker_class.queue_name or worker_class.__subclasses__():
        return False
    named = (settings.worker for settings in get_settings().queues.values())
    return path_of(worker_class) not in named


def _check_name(name: str, found: list[WorkerClass]) -> None:
    try:
        valid_queue_name(name)
    except InvalidQueueName as error:
        where = f"{path_of(found[0])}.queue_name"
        raise SettingError("E008", where, str(error), "rename it") from error


def _chosen(settings: QueueSettings, found: list[WorkerClass]) -> WorkerClass:
    if settings.worker:
        where = settings.where("WORKER")
        return named_class("E009", where, settings.worker, BaseWorker, "worker")
    if len(found) > 1:
        paths = " and ".join(map(path_of, found))
        remedy = f"name one of them as {settings.where('WORKER')}, or rename a queue"
        where = place("QUEUES", settings.name)
        raise SettingError("E012", where, f"has the workers {paths}", remedy)
    return found[0] if found else ClassicWorker


def _check_options(settings: QueueSettings, worker_class: WorkerClass) -> None:
    allowed = worker_class.field_names() - {"queue_name"} | {"atomic"}
    if unknown := [name for name in settings.options if name not in allowed]:
        are = "is not a field" if len(unknown) == 1 else "are not fields"
        what = f"{' and '.join(map(repr, unknown))} {are} of {worker_class.__qualname__}"
        raise SettingError("E010", settings.where("OPTIONS"), what, known(allowed, *unknown))


def _constructed(
    queue: Queue, task_courier: WorkerTaskCourier, fields: Mapping[str, Any]
) -> BaseWorker:
    worker_class = queue.worker_class
    try:
        inspect.signature(worker_class).bind(task_courier, **fields)
    except TypeError as error:
        what = f"{worker_class.__qualname__} takes no fields: {error}"
        remedy = "let its __init__ have **fields, and pass them on"
        raise SettingError("E010", place("QUEUES", queue.name, "OPTIONS"), what, remedy) from error
    try:
        return worker_class(task_courier, **fields)
    except Exception as error:  # whatever code of the project raises
        what = f"cannot be made: {type(error).__name__}: {error}"
        remedy = f"correct {place_of(error)}"
        raise SettingError("E014", path_of(worker_class), " ".join(what.split()), remedy) from error


def _blamed(queue: Queue, fields: Mapping[str, Any], complaint: str) -> tuple[str, str]:
    """Where the field that is complained about was set, and what to do."""
    if given := [f"{name}={value!r}" for name, value in fields.items() if name in complaint]:
        return f"queue {queue.name} with {', '.join(given)}", "give another value, or what it needs"
    if queue.name in get_settings().queues:
        return place("QUEUES", queue.name, "OPTIONS"), "correct it there or in the class"
    return path_of(queue.worker_class), "correct it there"
