"""Real database servers for one run of the tests, private and quick: nothing has to last."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql

from tests.support.requirements import missing
from tests.support.servers import free_port
from tests.support.waiting import wait_until

START_SECONDS = 60

# The end of standard input is the end of whoever started this, however it came about: by itself, by
# Ctrl-C or by force. SIGQUIT ends both servers at once, whoever is still connected.
GUARD = """
folder=$1; shift
"$@" </dev/null & server=$!
read -r _
kill -QUIT "$server"
wait "$server"
rm -rf "$folder"
"""


@dataclass(frozen=True)
class Kind:
    """
    - variable - of the environment: the address of a server to use instead.
    - programs - which make the folder of the data, and serve it; package - which has them.
    - prepare, serve - their arguments, given the folder and the port.
    - url - of the administrator, given the port.
    - drop - the statement for a database that others may still use.
    - connect - to an address, with statements that commit by themselves.
    """

    variable: str
    programs: tuple[str, str]
    package: str
    prepare: Callable[[Path], list[str]]
    serve: Callable[[Path, int], list[str]]
    url: str
    drop: str
    connect: Callable[[str], Any]


def _postgres_settings(folder: Path, port: int) -> list[str]:
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 300,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    return ["-D", f"{folder}/data", *(f"--{name}={value}" for name, value in settings.items())]


def _mariadb_settings(folder: Path, port: int) -> list[str]:
    settings = {
        "datadir": f"{folder}/data",
        "socket": f"{folder}/socket",
        "pid-file": f"{folder}/pid",
        "port": port,
        "bind-address": "127.0.0.1",
        "max-connections": 300,
        "innodb-flush-log-at-trx-commit": 0,
        "innodb-flush-method": "nosync",
        "innodb-doublewrite": 0,
    }
    return ["--no-defaults", *(f"--{name}={value}" for name, value in settings.items())]


def _connect_to_mariadb(url: str) -> Any:
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        autocommit=True,
    )


POSTGRES = Kind(
    "POSTGRES_URL",
    ("initdb", "postgres"),
    "postgresql",
    lambda folder: [
        *("-D", f"{folder}/data", "--no-sync", "--username=postgres", "--auth=trust"),
        *("--encoding=UTF8", "--locale=C"),
    ],
    _postgres_settings,
    "postgresql://postgres@127.0.0.1:{port}/postgres",
    "DROP DATABASE {} WITH (FORCE)",
    partial(psycopg.connect, autocommit=True),
)
MARIADB = Kind(
    "MARIADB_URL",
    ("mariadb-install-db", "mariadbd"),
    "mariadb-server-core",
    lambda folder: [
        *("--no-defaults", f"--datadir={folder}/data", "--skip-test-db"),
        *("--auth-root-authentication-method=normal", "--innodb-flush-method=nosync"),
    ],
    _mariadb_settings,
    "mysql://root@127.0.0.1:{port}/mysql",
    "DROP DATABASE {}",
    _connect_to_mariadb,
)


class DatabaseServer:
    def __init__(self, kind: Kind, url: str) -> None:
        self._kind = kind
        self._url = url

    @contextmanager
    def database(self, original: str = "") -> Iterator[str]:
        """
        The address of a new database, which is dropped afterwards.

        - original - on PostgreSQL, the address of the one that it is a copy of.
        """
        name = f"test_{uuid.uuid4().hex}"
        template = f" TEMPLATE {urlsplit(original).path[1:]}" if original else ""
        self._execute(f"CREATE DATABASE {name}{template}")
        try:
            yield urlsplit(self._url)._replace(path=f"/{name}").geturl()
        finally:
            self._execute(self._kind.drop.format(name))

    def answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except (psycopg.OperationalError, pymysql.OperationalError):
            return False
        return True

    def _execute(self, statement: str) -> None:
        with closing(self._kind.connect(self._url)) as connection:
            connection.cursor().execute(statement)


@contextmanager
def database_server(kind: Kind) -> Iterator[DatabaseServer]:
    """
    The server that the environment names, else a private one. Without its programs the test is
    skipped, or fails where CI is true.
    """
    if url := os.environ.get(kind.variable):
        yield DatabaseServer(kind, url)
        return
    with own_folder() as folder, _running(kind, programs_of(kind), folder) as server:
        wait_until(server.answers, START_SECONDS)
        yield server


def programs_of(kind: Kind) -> list[str]:
    programs = [program for name in kind.programs if (program := _program(name))]
    if len(programs) < len(kind.programs):
        missing(f"set {kind.variable}, or install {kind.package} (make test does it for root)")
    return programs


def _program(name: str) -> str | None:
    """Debian has those of PostgreSQL in a folder for each version, and servers in that of root."""
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*os.get_exec_path(), *folders, "/usr/sbin"]))


@contextmanager
def own_folder() -> Iterator[Path]:
    """Not one of pytest's, which the account that the server runs under may not enter."""
    prefix = "test-database-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        if owner := account():
            os.chown(folder, owner["user"], owner["group"])
        yield Path(folder)


@contextmanager
def _running(kind: Kind, programs: list[str], folder: Path) -> Iterator[DatabaseServer]:
    preparing, serving = programs
    port = free_port()
    how: dict[str, Any] = {"cwd": folder, "stderr": subprocess.STDOUT, **account()}
    with (folder / "log").open("wb") as log:
        subprocess.run([preparing, *kind.prepare(folder)], check=True, stdout=log, **how)
        guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(folder), serving, *kind.serve(folder, port)],
            stdin=subprocess.PIPE,
            stdout=log,
            start_new_session=True,  # Ctrl-C is for the tests, which may still need the server
            **how,
        )
    with guard:  # its standard input is closed, and its end awaited
        yield DatabaseServer(kind, kind.url.format(port=port))


def account() -> dict[str, Any]:
    """Neither server runs as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
