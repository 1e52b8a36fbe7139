"""django-tasks-db, the database backend of django-tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management import call_command
from django.db import transaction
from django_tasks import task

from ledger import Ledger
from on_database import POLL, WithDjangoTasks
from system import Data

ledger: Ledger


def perform(data: Data) -> Data:
    ledger.add(1)
    return data


class Measured(WithDjangoTasks):
    packages = ("django-tasks-db", "django-tasks", "Django", "psycopg")
    settings = "bulk is one transaction; worker and results polled every 1 ms, nothing logged"
    share = 0.1
    app = "django_tasks_db"
    backend = "django_tasks_db.DatabaseBackend"
    model = "django_tasks_database.DBTaskResult"

    def __init__(self, url: str, results: bool) -> None:
        global perform
        super().__init__(url, results)
        perform = task(perform)

    @property
    def task(self) -> Any:
        return perform

    def add_many(self, many: Sequence[Data]) -> list[Any]:
        with transaction.atomic():
            return super().add_many(many)

    def work(self, own_ledger: Ledger) -> None:
        global ledger
        ledger = own_ledger
        call_command("db_worker", interval=POLL, startup_delay=False, reload=False, verbosity=0)
