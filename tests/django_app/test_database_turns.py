"""Threads that write to a file of SQLite do so one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.db.utils import ConnectionHandler

from django_task_helpers.couriers._database import turns as module
from django_task_helpers.couriers._database.turns import Turns
from tests.support.waiting import in_thread


@pytest.fixture
def connection(tmp_path: Path, db: None) -> Iterator[Any]:
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "file")}
    connection = ConnectionHandler({"default": file})["default"]
    yield connection
    connection.close()


@pytest.fixture
def turns() -> Turns:
    return Turns()


def enter(turns: Turns, connection: Any, then: Callable[[], Any]) -> Any:
    with turns.taken(connection):
        return then()


def test_a_turn_begins_when_the_one_before_has_ended(turns: Turns, connection: Any) -> None:
    # given a thread that writes
    order = []
    with turns.taken(connection):
        # when another one wants to
        other = in_thread(enter, turns, connection, lambda: order.append("other"))
        assert not Event().wait(0.05)
        order.append("one")
    # then it begins behind it
    other.result(10)
    assert order == ["one", "other"]


def test_a_turn_is_not_awaited_for_ever(
    turns: Turns, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    with turns.taken(connection):
        assert in_thread(enter, turns, connection, lambda: "here").result(10) == "here"
    # and whose turn it was has lost nothing by that
    assert enter(turns, connection, lambda: "here") == "here"


def test_who_is_in_a_transaction_waits_for_no_turn(
    turns: Turns, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "in_atomic_block", True)
    with turns.taken(connection), turns.taken(connection):
        pass


def test_a_forked_child_waits_for_no_thread_of_its_parent(turns: Turns, connection: Any) -> None:
    with turns.taken(connection):
        turns.restart()  # as after a fork
        assert enter(turns, connection, lambda: "here") == "here"
