"""
The two programs that introduce the package, exactly as users copy them.

They connect to `redis.Redis()`, so this needs port 6379: where another server has it, nothing is
run against that one, and the test is skipped.
"""

from __future__ import annotations

import ast
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import running
from tests.support.servers import RedisServer

DEFAULT_PORT = 6379


@pytest.fixture
def server_on_the_default_port(tmp_path: Path) -> Iterator[RedisServer]:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", DEFAULT_PORT)) == 0:
            pytest.skip(f"port {DEFAULT_PORT} belongs to somebody else's server")
    with RedisServer(tmp_path, port=DEFAULT_PORT) as server:
        yield server


@pytest.mark.usefixtures("server_on_the_default_port")
def test_the_client_prints_the_object_that_the_worker_saved() -> None:
    with running("original_worker.py") as worker, running("original_client.py") as client:
        # when both run
        printed, _ = client.communicate(timeout=20)
        assert worker.stdout is not None
        # then the worker says what it saved
        assert worker.stdout.readline() == "saved 1 objects.\n"
    # and the client prints the saved object, with the id that the worker gave it
    assert client.returncode == 0, printed
    found = re.fullmatch(r"(\{.*'id': )UUID\('([^']+)'\)(.*\})\n", printed)
    assert found, printed
    assert uuid.UUID(found[2]).version == 4
    assert ast.literal_eval(f"{found[1]}0{found[3]}") == {
        "name": "tomato",
        "price": "12.45",
        "id": 0,
        "status": "active",
    }
