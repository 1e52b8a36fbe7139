"""
What `manage.py check` says of `TASK_HELPERS`. It opens no connection.

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
    task_helpers.W001   django-channels has a command `runworker` too
    task_helpers.W002   `TASK_HELPERS` is not set
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning

from django_task_helpers.conf import SettingError, is_set, read_settings
from django_task_helpers.couriers.building import build_courier
from django_task_helpers.workers import WorkerClass, make_queue, worker_classes, worker_courier


def check_settings(**_: Any) -> list[CheckMessage]:
    """What is wrong in its shape; if nothing, each courier and queue that cannot be made."""
    settings, errors = read_settings()
    found = errors or (*_courier_errors(settings.couriers.values()), *_queue_errors())
    kind = Error if is_set() else Warning
    return [
        kind(error.problem, hint=f"{error.remedy}.", id=error.id)
        for error in {error.problem: error for error in found}.values()
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


def _courier_errors(settings: Any) -> Iterator[SettingError]:
    for courier in settings:
        yield from _error(build_courier, courier)


def _queue_errors() -> Iterator[SettingError]:
    try:
        found = worker_classes()
    except SettingError as error:
        yield error
        found = {}
    for name in sorted(read_settings()[0].queues.keys() | found.keys()):
        yield from _error(_make_courier_too, name, found.get(name, []))


def _make_courier_too(name: str, found: list[WorkerClass]) -> None:
    worker_courier(make_queue(name, found).courier)


def _error(function: Callable[..., object], *arguments: Any) -> Iterator[SettingError]:
    try:
        function(*arguments)
    except SettingError as error:
        yield error
