"""What is wrong with a database that is to hold tasks, as far as the settings tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import connections, router

from django_task_helpers.conf import SettingError

SQLITE_OPTIONS = (
    '"OPTIONS": {"transaction_mode": "IMMEDIATE", '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}'
)


def database_problems(alias: str | None) -> Iterator[SettingError]:
    """
    - alias - None: the tasks are in no database.

    Opens no connection.
    """
    if alias is None:
        return
    where = f'DATABASES["{alias}"]'
    if not router.allow_migrate(alias, "django_task_helpers", model_name="task"):
        remedy = "let allow_migrate be true there, or name the database where it is in OPTIONS"
        what = "is to hold tasks, and DATABASE_ROUTERS keep the tables of django_task_helpers out"
        yield SettingError("E015", where, what, remedy)
    connection: Any = connections[alias]
    if not connection.settings_dict["AUTOCOMMIT"]:
        what = "is to hold tasks, and has no autocommit"
        yield SettingError("E016", where, what, 'leave "AUTOCOMMIT" out')
    if connection.vendor == "sqlite" and not settings.DEBUG and not connection.is_in_memory_db():
        yield from _sqlite_problems(where, connection.settings_dict["OPTIONS"])


def _sqlite_problems(where: str, options: dict[str, Any]) -> Iterator[SettingError]:
    if missing := " and ".join(_missing_on_sqlite(options)):
        what = f"holds tasks for several processes, on SQLite without {missing}"
        yield SettingError("W002", where, what, f"add {SQLITE_OPTIONS}")


def _missing_on_sqlite(options: dict[str, Any]) -> Iterator[str]:
    if not re.search(r"journal_mode\s*=\s*wal", options.get("init_command") or "", re.IGNORECASE):
        yield "WAL (readers and writers wait for each other)"
    if (options.get("transaction_mode") or "").upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        yield 'IMMEDIATE transactions (one that reads before it adds fails: "database is locked")'
