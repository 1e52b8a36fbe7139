"""Databases of their own for tests, under an alias of Django's, with the tables of the courier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from config import environment

if TYPE_CHECKING:  # worker processes come here too, and start sooner without
    from tests.support.database_servers import DatabaseServer

APP = "django_task_helpers"


@contextmanager
def database(alias: str, **settings: Any) -> Iterator[str]:
    """The alias of a database with these settings, which must be there and empty."""
    with bare_database(alias, **settings):
        migrate(alias)
        yield alias


@contextmanager
def bare_database(alias: str, **settings: Any) -> Iterator[str]:
    """As `database`, and it stays empty."""
    configured = connections.configure_settings({"default": {}, alias: settings})
    connections.settings[alias] = configured[alias]
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]


def migrate(alias: str) -> None:
    """Without the signals of the command: other apps have no tables there."""
    executor = MigrationExecutor(connections[alias])
    executor.migrate([node for node in executor.loader.graph.leaf_nodes() if node[0] == APP])


def sqlite(alias: str, path: Path, journal: str) -> Any:
    """As `database`, a file. It is not synced: no test takes the power away."""
    return database(
        alias,
        ENGINE="django.db.backends.sqlite3",
        NAME=str(path),
        OPTIONS={
            "init_command": f"PRAGMA journal_mode={journal};PRAGMA synchronous=off",
            "timeout": 10,
        },
    )


@contextmanager
def on_server(alias: str, server: DatabaseServer) -> Iterator[str]:
    """As `database`, a new one."""
    with server.database() as url, database(alias, **environment.database(url)):
        yield alias
