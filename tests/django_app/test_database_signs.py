"""Who waits on SQLite watches its file: the one of now, where it has one that shows anything."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from django_task_helpers.couriers._database import signs
from django_task_helpers.couriers.database import DatabaseClientWorkerTaskCourier
from tests.support.databases import migrate, sqlite
from tests.support.waiting import in_thread, wait_until

Q, ALIAS, PATIENCE = "q", "watched", 10


@pytest.fixture
def courier(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[DatabaseClientWorkerTaskCourier]:
    """Made before its database became another file, as those of tests do: `real`, then `test`."""
    with django_db_blocker.unblock(), sqlite(ALIAS, tmp_path / "real", "wal"):
        courier = DatabaseClientWorkerTaskCourier(ALIAS)
        connections[ALIAS].close()
        monkeypatch.setitem(connections.settings[ALIAS], "NAME", str(tmp_path / "test"))
        migrate(ALIAS)
        yield courier


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the files that are looked at from now on."""
    names, trace = set[str](), signs._trace

    def noting(path: str) -> Any:
        names.add(Path(path).name)
        return trace(path)

    monkeypatch.setattr(signs, "_trace", noting)
    return names


def own(function: Any, *arguments: Any) -> Future[Any]:
    """In a thread, whose connection is closed at last."""

    def act() -> Any:
        try:
            return function(*arguments)
        finally:
            connections[ALIAS].close()

    return in_thread(act)


def test_who_waits_for_a_result_watches_the_file_of_now(courier: Any, watched: set[str]) -> None:
    # given somebody who waits
    waiter = own(courier.wait_for_task_result, Q, courier.add_task_to_queue(Q, 1))
    wait_until(lambda: watched)
    # when there is the result
    courier.bulk_return_task_results(Q, courier.get_tasks(Q))
    # then it comes, and no other file was asked for it
    assert waiter.result(PATIENCE) == 1
    assert watched == {"test", "test-wal"}


def test_an_idle_worker_watches_the_file_of_now(courier: Any, watched: set[str]) -> None:
    idle = own(courier.bulk_wait_for_tasks, Q, 1, PATIENCE)
    wait_until(lambda: watched)
    task_id = courier.add_task_to_queue(Q, 1)
    assert idle.result(PATIENCE) == [(task_id, 1)]
    assert watched == {"test", "test-wal"}


def test_a_name_that_is_no_path_shows_nothing(
    tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> None:
    # given a file that has a URI for a name
    name = Path(f"file:{tmp_path / 'named'}")
    with django_db_blocker.unblock(), sqlite(ALIAS, name, "wal"):
        # when somebody looks twice, then something may have been written in between
        assert signs.signs_of(ALIAS).mark() != signs.signs_of(ALIAS).mark()
