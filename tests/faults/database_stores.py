"""Tasks in a database of one's own, with the settings that Django has by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connections

from config import environment
from django_task_helpers import models
from django_task_helpers.couriers.database import (
    DatabaseClientTaskCourier,
    DatabaseWorkerTaskCourier,
)
from tests.support.databases import bare_database, database

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer

UNFINISHED = (models.Task, models.Batch, models.SharedKey)
"""Tables with no rows of a queue whose tasks have all ended."""

PROBE_SECONDS = 0.2

_opened = ExitStack()
"""Of a worker process: its alias, until it ends."""


class DatabaseStore:
    """
    - alias - by which this process uses it; address - the settings.
    - server - absent for a file.
    """

    def __init__(
        self, kind: str, alias: str, address: dict[str, Any], server: PostgresServer | None
    ) -> None:
        self.kind = kind
        self.alias = alias
        self.address = address
        self._server = server

    def courier(self) -> DatabaseClientTaskCourier:
        return DatabaseClientTaskCourier(self.alias)

    def worker(self) -> DatabaseWorkerTaskCourier:
        """Of this process."""
        return DatabaseWorkerTaskCourier(self.alias)

    def takes_writes(self) -> bool:
        return self._server is not None or _is_free(self.address["NAME"])

    def leftovers(self, queue: str) -> list[str]:
        rows = ((model, model._default_manager.using(self.alias)) for model in UNFINISHED)
        return [model.__name__ for model, found in rows if found.filter(queue=queue).exists()]

    def kill(self) -> None:
        """As a crash does."""
        assert self._server
        self._server.kill()

    def start(self) -> None:
        assert self._server
        self._server.start()


def _is_free(file: str) -> bool:
    """Asked quickly: a batch is short."""
    with closing(sqlite3.connect(file, timeout=PROBE_SECONDS, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
    return True


@contextmanager
def opened(kind: str, folder: Path, settings: dict[str, str]) -> Iterator[DatabaseStore]:
    """
    - settings - of a file: `journal`, "wal" by default.
    """
    with ExitStack() as stack:
        server = stack.enter_context(_postgres()) if kind == "postgres" else None
        file, journal = folder / "tasks.sqlite3", settings.get("journal", "wal")
        address = environment.database(server.url) if server else _sqlite(file, journal)
        alias = stack.enter_context(database(f"faults {folder}", **address))
        yield DatabaseStore(kind, alias, address, server)


def _postgres() -> PostgresServer:
    from tests.support.postgres import PostgresServer  # here: worker processes need none

    return PostgresServer()


def _sqlite(file: Path, journal: str) -> dict[str, Any]:
    """The mode WAL is kept in the file."""
    address = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}
    with bare_database("journal", **address), closing(connections["journal"].cursor()) as cursor:
        cursor.execute(f"PRAGMA journal_mode={journal}")
    return address


def worker_courier(address: dict[str, Any], **options: Any) -> DatabaseWorkerTaskCourier:
    if "worker" not in connections.settings:
        _opened.enter_context(bare_database("worker", **address))
    return DatabaseWorkerTaskCourier("worker", **options)
