"""What the systems share that keep their tasks in a database of Django's."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from system import TIMEOUT, Data, System

sys.path.append(str(Path(__file__).resolve().parent.parent / "testproject"))

from config.environment import database

POLL = 0.001
MOST_IDS = 500
"""Of one query."""


class OnDatabase(System):
    """
    The database is set as in the test project, the same for all; connections are kept.

    - app - that has the tables.
    - backend - of Django's tasks, where there is one.
    """

    app: ClassVar[str]
    backend: ClassVar[str] = ""

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        tasks = {"default": {"BACKEND": self.backend}} if self.backend else {}
        settings.configure(
            DATABASES={"default": {**database(url), "CONN_MAX_AGE": None}},
            INSTALLED_APPS=[self.app],
            TASKS=tasks,
            USE_TZ=True,
        )
        django.setup()

    def prepare(self) -> None:
        call_command("migrate", verbosity=0)

    def can_write(self) -> bool:
        if connection.vendor != "sqlite":
            return True
        with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=0)) as own:
            try:
                own.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True


class WithDjangoTasks(OnDatabase):
    """
    A backend of Django's tasks.

    - model - of a task, with its return value, as in app_label.Model.
    """

    model: ClassVar[str]

    def add(self, data: Data) -> Any:
        return self.task.enqueue(data=data).id

    def wait(self, added: Sequence[Any]) -> list[Any]:
        """Asks for the last one, which is performed last, before it fetches all."""
        self._wait(added[-1:])
        chunks = (added[at : at + MOST_IDS] for at in range(0, len(added), MOST_IDS))
        return [result for chunk in chunks for result in self._wait(chunk)]

    @property
    def task(self) -> Any:
        raise NotImplementedError

    def _wait(self, ids: Sequence[Any]) -> list[Any]:
        until = time.monotonic() + TIMEOUT
        while len(found := self._found(ids)) < len(ids):
            if time.monotonic() > until:
                raise TimeoutError(f"{len(ids) - len(found)} results did not come")
            time.sleep(POLL)
        return [found[str(task_id)] for task_id in ids]

    def _found(self, ids: Sequence[Any]) -> dict[str, Any]:
        done = apps.get_model(self.model)._default_manager.filter(pk__in=ids, status="SUCCESSFUL")
        return {str(task_id): result for task_id, result in done.values_list("pk", "return_value")}
