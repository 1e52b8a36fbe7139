"""django-ox, a backend of Django's own tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management import call_command
from django.tasks import task
from django_ox.bulk import enqueue_many

from ledger import Ledger
from on_database import POLL, WithDjangoTasks
from system import Data

ledger: Ledger


def perform(data: Data) -> Data:
    ledger.add(1)
    return data


class Measured(WithDjangoTasks):
    packages = ("django-ox", "Django", "psycopg")
    settings = "enqueue_many for bulk; one thread, worker and results polled every 1 ms"
    share = 0.1
    app = "django_ox"
    backend = "django_ox.backend.OxBackend"
    model = "django_ox.OxTask"

    def __init__(self, url: str, results: bool) -> None:
        global perform
        super().__init__(url, results)
        perform = task(perform)

    @property
    def task(self) -> Any:
        return perform

    def add_many(self, many: Sequence[Data]) -> list[Any]:
        calls = [((), {"data": data}) for data in many]
        return [added.id for added in enqueue_many(perform, calls)]

    def work(self, own_ledger: Ledger) -> None:
        global ledger
        ledger = own_ledger
        call_command("ox_worker", interval=POLL, concurrency=1, verbosity=0)
