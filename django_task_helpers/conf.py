"""
The setting `TASK_HELPERS`, typed. Read on first use and again after `override_settings`.

What is wrong in it is a `SettingError` that says where: raised when the setting is used, reported
by `manage.py check` all at once.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeGuard, TypeVar

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import connections
from django.utils.module_loading import import_string

from task_helpers.couriers.queues import valid_queue_name
from task_helpers.exceptions import InvalidQueueName

T = TypeVar("T")

SETTING = "TASK_HELPERS"
DEFAULT_ALIAS = "default"

NO_DATABASE = "unknown"
"""What the dummy of a project without databases says that it is."""

DATABASE = "django_task_helpers.couriers.database.DatabaseClientWorkerTaskCourier"
"""The courier of a project that names none: its tasks are in its own database."""


class SettingError(ImproperlyConfigured):
    """
    One thing that is wrong in `TASK_HELPERS`.

    - problem - where and what, one line.
    - remedy - what to do about it.
    - id - of the system check that reports it, as in "task_helpers.E001".
    """

    def __init__(self, id: str, where: str, what: str, remedy: str) -> None:
        self.problem = f"{where}: {what}"
        self.remedy = remedy
        self.id = f"task_helpers.{id}"
        super().__init__(f"{self.problem}: {remedy}")


@dataclass(frozen=True, kw_only=True)
class CourierSettings:
    """
    - backend - dotted path of a courier class.
    - cache - alias of a django-redis cache whose connection settings are used, or
    - location - URL of a Redis; both None for a backend that needs neither.
    - options - keywords for the constructor.
    """

    alias: str
    backend: str
    cache: str | None = None
    location: str | None = None
    options: Mapping[str, Any]

    def where(self, key: str) -> str:
        return place("COURIERS", self.alias, key)


_ON_THE_DATABASE = CourierSettings(alias=DEFAULT_ALIAS, backend=DATABASE, options={})


@dataclass(frozen=True, kw_only=True)
class QueueSettings:
    """
    - worker - dotted path of a worker class; None: the one found in an app's `workers.py`, else
      `ClassicWorker`.
    - courier - alias of the courier that brings its tasks.
    - options - class fields of the worker.
    """

    name: str
    worker: str | None = None
    courier: str = DEFAULT_ALIAS
    options: Mapping[str, Any]

    def where(self, key: str) -> str:
        return place("QUEUES", self.name, key)


@dataclass(frozen=True)
class TaskHelpersSettings:
    couriers: Mapping[str, CourierSettings]
    queues: Mapping[str, QueueSettings]

    def queue(self, name: str) -> QueueSettings:
        """The settings of a queue, the defaults for one without an entry."""
        return self.queues.get(name) or QueueSettings(name=name, options={})


def get_settings() -> TaskHelpersSettings:
    """The settings; raises the first `SettingError` found in them."""
    settings, errors = read_settings()
    for error in errors:
        raise error
    return settings


@cache
def read_settings() -> tuple[TaskHelpersSettings, tuple[SettingError, ...]]:
    """What can be used of the settings, and everything that is wrong in their shape."""
    value, reader = getattr(django_settings, SETTING, None), _Reader()
    return reader.read({} if value is None else value), tuple(reader.errors)


def place(*keys: str) -> str:
    """How a place in the setting is written in messages: TASK_HELPERS["QUEUES"]["mail"]."""
    return SETTING + "".join(f'["{key}"]' for key in keys)


def known(names: Iterable[str], *wanted: object) -> str:
    """The names to choose from, for messages; near matches to what was wanted come first."""
    names = sorted(map(str, names))
    near = dict.fromkeys(name for want in wanted for name in _near(str(want), names))
    guess = f"did you mean {' and '.join(map(repr, near))}? " if near else ""
    return f"{guess}known: {', '.join(names) or 'none'}"


def named_class(id: str, where: str, path: str, base: type[T], kind: str) -> type[T]:
    """
    The class that a setting names by its dotted path.

    - kind - names what derives from the base, for the message.

    Raises `SettingError` with this id for what is none.
    """
    try:
        found = import_string(path)
    except ImportError as error:
        raise SettingError(id, where, str(error), _instead(path, base, kind)) from error
    if not is_class(found, base):
        raise SettingError(id, where, f"{path} is not a {kind}", _instead(path, base, kind))
    return found


def is_class(value: Any, base: type[T]) -> TypeGuard[type[T]]:
    return isinstance(value, type) and issubclass(value, base)


def named_database(alias: str, what: str) -> str:
    """
    The alias.

    - what - names it, for the message.

    `ValueError` where no database has it. Opens no connection.
    """
    real = [name for name in connections if connections[name].vendor != NO_DATABASE]
    if alias not in real:
        raise ValueError(f"{what} names {alias!r}, which is no database. {known(real, alias)}")
    return alias


def _instead(path: str, base: type, kind: str) -> str:
    """The public classes of its module, where it has any."""
    module, _, wanted = path.rpartition(".")
    beside = vars(sys.modules[module]) if module in sys.modules else {}
    names = [
        name
        for name, value in beside.items()
        if is_class(value, base) and value.__module__.startswith(module) and name[0] != "_"
    ]
    return known(names, wanted) if names else f"name a {kind} class by its dotted path"


def _near(wanted: str, names: Iterable[str]) -> list[str]:
    """One at the most, whatever the case of its letters."""
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wanted[:200].lower(), by_lower, n=1)
    return [by_lower[name] for name in near]


def _forget(*, setting: str, **_: Any) -> None:
    if setting == SETTING:
        read_settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid=f"{__name__}._forget")


class _Reader:
    """Collects errors instead of stopping at the first, and goes on with what is usable."""

    def __init__(self) -> None:
        self.errors: list[SettingError] = []

    def read(self, value: Any) -> TaskHelpersSettings:
        root = self._dict(value, SETTING, {"COURIERS", "QUEUES"})
        couriers = self._entries(root, "COURIERS", {"BACKEND", "CACHE", "LOCATION", "OPTIONS"})
        queues = self._entries(root, "QUEUES", {"WORKER", "COURIER", "OPTIONS"})
        named = {alias: self._courier(alias, entry) for alias, entry in couriers}
        return TaskHelpersSettings(
            named if "COURIERS" in root else {DEFAULT_ALIAS: _ON_THE_DATABASE},
            {name: self._queue(name, entry) for name, entry in queues if self._queue_name(name)},
        )

    def _courier(self, alias: str, entry: Mapping[str, Any]) -> CourierSettings:
        where = place("COURIERS", alias)
        return CourierSettings(
            alias=alias,
            backend=self._text(entry, "BACKEND", where) or "",
            cache=self._text(entry, "CACHE", where),
            location=self._text(entry, "LOCATION", where),
            options=self._options(entry, where),
        )

    def _queue(self, name: str, entry: Mapping[str, Any]) -> QueueSettings:
        where = place("QUEUES", name)
        return QueueSettings(
            name=name,
            worker=self._text(entry, "WORKER", where),
            courier=self._text(entry, "COURIER", where) or DEFAULT_ALIAS,
            options=self._options(entry, where),
        )

    def _queue_name(self, name: str) -> bool:
        try:
            return bool(valid_queue_name(name))
        except InvalidQueueName as error:
            self.errors.append(SettingError("E008", place("QUEUES"), str(error), "rename it"))
            return False

    def _entries(
        self, root: Mapping[str, Any], key: str, keys: set[str]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, entry in self._dict(root.get(key, {}), place(key)).items():
            yield name, self._dict(entry, place(key, str(name)), keys)

    def _dict(self, value: Any, where: str, keys: set[str] | None = None) -> Mapping[str, Any]:
        """The value if it is a dict, else {}; keys other than those allowed are errors."""
        if not isinstance(value, Mapping):
            kind = type(value).__name__
            self.errors.append(SettingError("E001", where, f"is a {kind}", "make it a dict"))
            return {}
        for key in value.keys() - keys if keys else ():
            unknown = f"{key!r} is not a key of it"
            self.errors.append(SettingError("E002", where, unknown, known(keys or (), key)))
        return value

    def _options(self, entry: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        return self._dict(entry.get("OPTIONS", {}), f'{where}["OPTIONS"]')

    def _text(self, entry: Mapping[str, Any], key: str, where: str) -> str | None:
        value = entry.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        wrong = SettingError("E001", f'{where}["{key}"]', f"is {value!r}", "make it a str")
        self.errors.append(wrong)
        return None
