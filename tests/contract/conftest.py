from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.contract.backends import BACKENDS, Backend, Can, Stand
from tests.support.database_servers import DatabaseServer
from tests.support.databases import on_server, sqlite

QUEUE = "contract"


@pytest.fixture(scope="session")
def guard(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> DjangoDbBlocker:
    """Held back by it, pytest-django makes its own databases first, and of these no copies."""
    return django_db_blocker


@pytest.fixture(scope="session")
def sqlite_wal(tmp_path_factory: pytest.TempPathFactory, guard: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a file that is written ahead, as one should be that many processes use."""
    path = tmp_path_factory.mktemp("sqlite") / "wal.sqlite3"
    yield from _entered(sqlite("sqlite_wal", path, "wal"), guard)


@pytest.fixture(scope="session")
def sqlite_delete(
    tmp_path_factory: pytest.TempPathFactory, guard: DjangoDbBlocker
) -> Iterator[str]:
    """The alias of a file with the journal that SQLite begins with."""
    path = tmp_path_factory.mktemp("sqlite") / "delete.sqlite3"
    yield from _entered(sqlite("sqlite_delete", path, "delete"), guard)


@pytest.fixture(scope="session")
def on_postgres(postgres: DatabaseServer, guard: DjangoDbBlocker) -> Iterator[str]:
    yield from _entered(on_server("on_postgres", postgres), guard)


@pytest.fixture(scope="session")
def on_mariadb(mariadb: DatabaseServer, guard: DjangoDbBlocker) -> Iterator[str]:
    yield from _entered(on_server("on_mariadb", mariadb), guard)


def _entered(database: AbstractContextManager[str], guard: DjangoDbBlocker) -> Iterator[str]:
    """The guard stands aside for as long as the tables are made."""
    with ExitStack() as stack:
        with guard.unblock():
            alias = stack.enter_context(database)
        yield alias


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    return chosen


@pytest.fixture
def stand(
    request: pytest.FixtureRequest, backend: Backend, django_db_blocker: DjangoDbBlocker
) -> Iterator[Stand]:
    with django_db_blocker.unblock():
        stand = backend.stand(request)
        yield stand
        stand.close()


@pytest.fixture
def shared_by_processes(backend: Backend) -> None:
    if Can.BE_SHARED_BY_PROCESSES not in backend.can:
        pytest.skip(f"{backend.name} lives within one process")


@pytest.fixture
def going_on_after_a_fork(backend: Backend) -> None:
    if Can.GO_ON_AFTER_A_FORK not in backend.can:
        pytest.skip(f"{backend.name} is for processes that do not fork once they work")


@pytest.fixture
def client(stand: Stand) -> Any:
    return stand.client()


@pytest.fixture
def worker(stand: Stand) -> Any:
    return stand.worker()


@pytest.fixture
def queue() -> str:
    return QUEUE
