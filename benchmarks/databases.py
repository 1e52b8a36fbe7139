"""Databases for one measurement each: copies of one that has the tables of the system."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

from measuring import HERE, environment
from system import ONLY_ON
from tests.support.database_servers import POSTGRES, database_server

Make = Callable[[str], AbstractContextManager[str]]
"""Gives the address of a new database, which is a copy of the one at that address, or empty."""


class NotPrepared(Exception):
    """What went wrong, in one line."""


class Databases:
    """
    - pythons - by system.
    - versions - of the databases, and what is to be known of their settings.
    """

    def __init__(self, stack: ExitStack, pythons: Mapping[str, Path]) -> None:
        server = stack.enter_context(database_server(POSTGRES))
        self._makers: dict[str, Make] = {"sqlite": sqlite, "postgresql": server.database}
        self._stack = stack
        self.pythons = pythons
        self._originals: dict[tuple[str, str], str] = {}
        with server.database() as url:
            self.versions = {"SQLite": about_sqlite(), "PostgreSQL": about_postgresql(url)}

    def systems(self, database: str) -> list[str]:
        """Those that can keep their tasks there."""
        return [name for name in self.pythons if ONLY_ON.get(name, database) == database]

    def fresh(self, database: str, name: str) -> AbstractContextManager[str]:
        """The address of one with the tables of that system, and nothing in them."""
        make, key = self._makers[database], (database, name)
        if key not in self._originals:
            url = self._stack.enter_context(make(""))
            prepare(name, self.pythons[name], url)
            self._originals[key] = url
        return make(self._originals[key])


@contextmanager
def sqlite(original: str = "") -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-database-") as folder:
        path = Path(folder) / "database"
        if original:
            shutil.copy(unquote(urlsplit(original).path[1:]), path)
        yield f"sqlite:///{path}"


def prepare(name: str, python: Path, url: str) -> None:
    ended = subprocess.run(
        [python, "-m", "prepare", name, url],
        cwd=HERE,
        env=environment(name),
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise NotPrepared(f"the tables of {name} could not be made: {said[-1]}")


def about_sqlite() -> str:
    return f"{sqlite3.sqlite_version}, a file, WAL, synchronous=NORMAL"


def about_postgresql(url: str) -> str:
    with closing(psycopg.connect(url)) as connection:
        version, fsync = (
            connection.execute(f"SHOW {name}").fetchone()[0] for name in ("server_version", "fsync")
        )
    return f"{version.split()[0]}, fsync {fsync}"
