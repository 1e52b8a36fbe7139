from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.contract.backends import BACKENDS, Backend, Can, Stand
from tests.support.database_servers import DatabaseServer
from tests.support.databases import on_server, sqlite

QUEUE = "contract"


@pytest.fixture(scope="session")
def add_database(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Callable[[AbstractContextManager[str]], str]]:
    """Enters what gives a database an alias, which stays to the end of the run."""
    with ExitStack() as added:

        def add(database: AbstractContextManager[str]) -> str:
            with django_db_blocker.unblock():
                return added.enter_context(database)

        yield add


@pytest.fixture(scope="session")
def sqlite_wal(add_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The alias of a file that is written ahead, as one should be that many processes use."""
    path = tmp_path_factory.mktemp("sqlite") / "wal.sqlite3"
    return add_database(sqlite("sqlite_wal", path, "wal"))


@pytest.fixture(scope="session")
def sqlite_delete(add_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The alias of a file with the journal that SQLite begins with."""
    path = tmp_path_factory.mktemp("sqlite") / "delete.sqlite3"
    return add_database(sqlite("sqlite_delete", path, "delete"))


@pytest.fixture(scope="session")
def on_postgres(add_database: Any, postgres: DatabaseServer) -> Any:
    return add_database(on_server("on_postgres", postgres))


@pytest.fixture(scope="session")
def on_mariadb(add_database: Any, mariadb: DatabaseServer) -> Any:
    return add_database(on_server("on_mariadb", mariadb))


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
