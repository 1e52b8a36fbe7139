"""What the settings read from the environment."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SQLITE_OPTIONS = {
    # The web server reads while the worker writes (WAL), a writer queues up for the lock instead of
    # failing half-way (IMMEDIATE), and does so for up to 20 seconds.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
}

SERVERS = {
    "postgres": "django.db.backends.postgresql",
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
}
"""Engines by the scheme of the address; MySQL's is MariaDB's too."""


def flag(name: str, default: bool) -> bool:
    """A variable that is on or off: 1, true, yes or on is on."""
    if not (value := os.environ.get(name)):
        return default
    return value.lower() in {"1", "true", "yes", "on"}


def words(name: str) -> list[str]:
    """A variable that holds words between commas."""
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


def database(url: str) -> dict[str, Any]:
    """
    The settings of the database at `sqlite:///relative/path`, `sqlite:////absolute/path`,
    `postgresql://user:password@host:port/name` or `mysql://` with the same parts (MariaDB too).
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and parts.path.strip("/"):
        return _sqlite(parts)
    if parts.scheme in SERVERS:
        return _on_server(parts)
    raise ImproperlyConfigured(
        "DATABASE_URL must be sqlite:///PATH, or postgresql:// or mysql:// and "
        f"USER:PASSWORD@HOST:PORT/NAME, not one that begins with {parts.scheme}://"
    )


def _sqlite(parts: SplitResult) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": unquote(parts.path[1:]),
        "OPTIONS": SQLITE_OPTIONS,
    }


def _on_server(parts: SplitResult) -> dict[str, Any]:
    if parts.scheme == "mysql":
        _ensure_mysql_driver()
    return {
        "ENGINE": SERVERS[parts.scheme],
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "CONN_MAX_AGE": 60,
    }


def _ensure_mysql_driver() -> None:
    """Django knows mysqlclient, which needs a compiler; PyMySQL takes its place where it is not."""
    if not find_spec("MySQLdb"):
        import_module("pymysql").install_as_MySQLdb()
