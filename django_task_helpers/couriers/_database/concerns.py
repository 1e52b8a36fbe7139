"""What is wrong with a database as it is, not as the settings want it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings


def concerns_of(connection: Any) -> Iterator[str]:
    """A line each, for whoever starts a worker."""
    place = f"Database {connection.alias!r}"
    is_file = connection.vendor == "sqlite" and not connection.is_in_memory_db()
    if is_file and not settings.DEBUG and _journal_of(connection) != "wal":
        yield (
            f"{place} is SQLite without WAL, so readers and writers wait for each other: add "
            '"init_command": "PRAGMA journal_mode=WAL;" to its OPTIONS in DATABASES.'
        )
    if connection.vendor == "mysql" and not connection.features.has_select_for_update_skip_locked:
        yield (
            f"{place} has no SKIP LOCKED, so workers wait for each other: use MariaDB 10.6 or "
            "MySQL 8.0.1, or newer ones."
        )


def _journal_of(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        return str(cursor.fetchone()[0])
