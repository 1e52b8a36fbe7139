"""scripts/demo.py as `make demo` and `make run` call it."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.database_servers import DatabaseServer
from tests.support.scripts import SECONDS, Script
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent


class Demo(Script):
    def __init__(self, *arguments: str, redis_url: str = "", database_url: str = "") -> None:
        path = ROOT / "scripts/demo.py"
        super().__init__(path, *arguments, REDIS_URL=redis_url, DATABASE_URL=database_url)


@pytest.fixture
def kept() -> Iterator[Demo]:
    demo = Demo("--keep", "--port", "0")
    yield demo
    demo.process.terminate()
    demo.end()


@pytest.mark.parametrize(
    ("server", "path"), [("gunicorn", "/products/"), ("uvicorn", "/products/async/")]
)
def test_every_caller_gets_its_own_row_and_rows_share_inserts(server: str, path: str) -> None:
    # when
    demo = Demo("--requests", "50", "--server", server)
    code, output, errors = demo.end()
    # then
    assert (code, errors) == (0, "")
    assert f"50 concurrent POST {path}, all answered" in output
    assert "in the database: no Redis" in output
    assert_rows_shared_inserts(output)
    p50, p95 = map(float, re.search(r"p50 ([\d.]+) s, p95 ([\d.]+) s", output).groups())
    assert 0 < p50 <= p95
    assert re.search(r"http://127\.0\.0\.1:\d+/admin/ \(user admin, password admin\)", output)
    assert demo.pids() == []


def assert_rows_shared_inserts(output: str) -> None:
    assert "each of the 50 callers got its own row" in output
    assert 1 <= int(re.search(r"50 rows by (\d+) INSERT", output)[1]) < 50


@pytest.mark.parametrize("name", ["postgres", "mariadb"])
def test_so_it_is_on_a_database_server(name: str, request: pytest.FixtureRequest) -> None:
    server: DatabaseServer = request.getfixturevalue(name)
    with server.database() as url:
        # when
        code, output, errors = Demo("--requests", "50", database_url=url).end()
    # then
    assert (code, errors) == (0, "")
    assert_rows_shared_inserts(output)


def test_so_it_is_with_the_tasks_in_redis(redis_url: str) -> None:
    # when
    code, output, errors = Demo("--requests", "50", redis_url=redis_url).end()
    # then
    assert (code, errors) == (0, "")
    assert "in Redis" in output
    assert_rows_shared_inserts(output)


def test_directly_every_caller_saves_its_own_row(tmp_path: Path) -> None:
    # when
    file = tmp_path / "figures.json"
    how = ("--direct", "--requests", "20", "--json", str(file))
    code, output, errors = Demo(*how).end()
    # then
    assert (code, errors) == (0, "")
    assert "20 concurrent POST /products/direct/" in output
    figures = json.loads(file.read_text())
    assert (figures["requests"], figures["inserts"]) == (20, 20)
    assert 0 < figures["p50"] <= figures["p95"] <= figures["seconds"]


def test_kept_running_it_ends_by_ctrl_c_and_leaves_nothing_behind(kept: Demo) -> None:
    # given
    port = int(re.search(r":(\d+)/products/", kept.until("stop"))[1])
    socket.create_connection(("127.0.0.1", port)).close()
    # when
    kept.process.send_signal(signal.SIGINT)
    # then
    assert kept.end() == (0, "", "")
    assert kept.pids() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_process_that_dies_is_named_with_its_last_words_and_ends_the_rest(kept: Demo) -> None:
    # given
    kept.until("stop")
    supervisor, _ = sorted(kept.pids("runworker bulk_data_saving"))
    # when
    os.kill(supervisor, signal.SIGKILL)
    # then
    code, _, errors = kept.end()
    assert code == 1
    assert errors.startswith("demo: the worker of bulk_data_saving ended by itself")
    assert "--- worker of bulk_data_saving" in errors
    wait_until(lambda: kept.pids() == [], seconds=SECONDS)  # its child sees that it is gone


def test_interrupted_at_the_start_it_leaves_nothing_behind() -> None:
    # given
    demo = Demo()
    wait_until(lambda: demo.pids("gunicorn"), seconds=SECONDS)
    # when
    demo.process.send_signal(signal.SIGTERM)
    # then
    code, output, errors = demo.end()
    assert (code, output, errors) == (143, "", "")
    assert demo.pids() == []


@pytest.mark.parametrize("count", ["0", "901", "many"])
def test_a_number_of_requests_that_cannot_be(count: str) -> None:
    code, _, errors = Demo("--requests", count).end()
    assert code == 2
    assert "is not a number from 1 to 900" in errors


# --- The check itself can fail


@pytest.fixture
def demo_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("demo")


ROWS = {
    pk: {"id": pk, "name": name, "price": Decimal("1.45"), "status": "active"}
    for pk, name in ((1, "a"), (2, "b"))
}


def call(demo_module: Any, pk: int, name: str, status: int = 201, price: str = "1.45") -> Any:
    """A caller that sent a name at 1.45 and got the row of a primary key at a price."""
    answer = {**ROWS[pk], "price": price}
    return demo_module.Call({"name": name, "price": "1.45"}, status, answer, 0.1)


def test_callers_with_their_own_rows_pass(demo_module: Any) -> None:
    demo_module.check_calls([call(demo_module, 1, "a"), call(demo_module, 2, "b")], ROWS)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ({"pk": 1, "name": "b"}, "1 of 2 callers did not get their own row"),
        ({"pk": 2, "name": "b", "price": "1.46"}, "1 of 2 callers did not get their own row"),
        ({"pk": 2, "name": "b", "status": 503}, r"callers = {503: 1}"),
        ({"pk": 1, "name": "a"}, "2 callers made 2 rows and got 1 of them"),
    ],
)
def test_a_caller_without_its_own_row_fails(
    demo_module: Any, second: dict[str, Any], complaint: str
) -> None:
    calls = [call(demo_module, 1, "a"), call(demo_module, **second)]
    with pytest.raises(demo_module.DemoError, match=complaint):
        demo_module.check_calls(calls, ROWS)


@pytest.mark.parametrize("rows", [{1: ROWS[1]}, {**ROWS, 3: {**ROWS[1], "id": 3}}])
def test_a_row_too_few_or_too_many_in_the_database_fails(
    demo_module: Any, rows: dict[int, Any]
) -> None:
    calls = [call(demo_module, 1, "a"), call(demo_module, 2, "b")]
    with pytest.raises(demo_module.DemoError):
        demo_module.check_calls(calls, rows)


def test_percentiles_are_values_that_were_measured(demo_module: Any) -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert [demo_module.percentile(hundred, p) for p in (50, 95, 100)] == [50, 95, 100]
    assert demo_module.percentile([0.7], 95) == 0.7
