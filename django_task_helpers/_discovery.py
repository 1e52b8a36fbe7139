"""The worker classes in the apps' `workers.py`, by which queues are known without a setting."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from django.apps import AppConfig, apps
from django.utils.module_loading import module_has_submodule

from django_task_helpers.conf import SettingError, get_settings, is_class, known
from task_helpers.exceptions import TaskTimeout
from task_helpers.workers.base import BaseWorker

MODULE = "workers"

WorkerClass = type[BaseWorker]


def worker_classes() -> dict[str, list[WorkerClass]]:
    """
    Per queue the worker classes with that `queue_name` defined in an app's `workers.py`. Raises
    `SettingError` for a module that cannot be imported.
    """
    found = defaultdict[str, list[WorkerClass]](list)
    for worker_class in classes_of_apps():
        if worker_class.queue_name:
            found[worker_class.queue_name].append(worker_class)
    return dict(found)


def classes_of_apps() -> Iterator[WorkerClass]:
    """Those without a `queue_name` too. Raises as `worker_classes`."""
    for config in _apps_with_workers():
        yield from _classes_in(_import_workers(config))


def say_if_unknown(error: TaskTimeout) -> None:
    """
    Adds to the error that its queue is no known one. Imports nothing: while a `workers.py` is not
    imported, which may be the one that has the queue, nothing is said.
    """
    queues = get_settings().queues.keys()
    if (name := error.queue_name) in queues or not (names := queues | _imported_queues()):
        return
    if name not in names and all(_imported(config) for config in _apps_with_workers()):
        error.args = (f"{error} {name!r} is no known queue: {known(names, name)}",)


def path_of(worker_class: WorkerClass) -> str:
    return f"{worker_class.__module__}.{worker_class.__qualname__}"


def place_of(error: Exception) -> str:
    """The line of the project that raised it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    lines = traceback.extract_tb(error.__traceback__)
    line = next((line for line in reversed(lines) if not _is_of_python(line.filename)), lines[-1])
    return f"{line.filename}, line {line.lineno}"


def _imported_queues() -> set[str]:
    modules = filter(None, map(_imported, apps.get_app_configs()))
    return {found.queue_name for module in modules for found in _classes_in(module)} - {""}


def _imported(config: AppConfig) -> ModuleType | None:
    return sys.modules.get(f"{config.name}.{MODULE}")


def _apps_with_workers() -> Iterator[AppConfig]:
    return (one for one in apps.get_app_configs() if module_has_submodule(one.module, MODULE))


def _classes_in(module: ModuleType) -> Iterator[WorkerClass]:
    for value in vars(module).copy().values():
        if is_class(value, BaseWorker) and value.__module__ == module.__name__:
            yield value


def _import_workers(config: AppConfig) -> ModuleType:
    name = f"{config.name}.{MODULE}"
    try:
        return import_module(name)
    except Exception as error:  # whatever code at the top of a module raises
        what = f"cannot be imported: {type(error).__name__}: {error}"
        remedy = f"correct {place_of(error)}"
        raise SettingError("E013", name, " ".join(what.split()), remedy) from error


def _is_of_python(filename: str) -> bool:
    return filename.startswith(("<", sysconfig.get_path("stdlib")))
