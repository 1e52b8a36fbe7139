"""This package over the project's own database, by its public API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils.module_loading import import_string

from ledger import Ledger
from on_database import OnDatabase
from ours import QUEUE, NoOpWorker
from system import TIMEOUT, Data

COURIERS = "django_task_helpers.couriers.database"
"""They need settings before they are imported."""


class Measured(OnDatabase):
    packages = ("Django", "psycopg", "msgpack")
    settings = "batches of 500, everything else by default"
    app = "django_task_helpers"

    def __init__(self, url: str, results: bool) -> None:
        super().__init__(url, results)
        self._courier = import_string(f"{COURIERS}.DatabaseClientTaskCourier")()

    def add(self, data: Data) -> UUID:
        return self._courier.add_task_to_queue(QUEUE, data)

    def add_many(self, many: Sequence[Data]) -> list[UUID]:
        return self._courier.bulk_add_tasks_to_queue(QUEUE, many)

    def wait(self, added: Sequence[UUID]) -> list[Any]:
        return self._courier.bulk_wait_for_task_results(QUEUE, added, timeout=TIMEOUT)

    def call(self, data: Data) -> Any:
        return self._courier.call(QUEUE, data, timeout=TIMEOUT)

    def work(self, ledger: Ledger) -> None:
        courier = import_string(f"{COURIERS}.DatabaseWorkerTaskCourier")()
        NoOpWorker(courier, ledger=ledger, needs_result_returning=self.results).perform()
