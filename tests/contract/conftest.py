from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.backends import BACKENDS, Backend, Can, Stand

QUEUE = "contract"


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    return chosen


@pytest.fixture
def stand(request: pytest.FixtureRequest, backend: Backend) -> Iterator[Stand]:
    stand = backend.stand(request)
    yield stand
    stand.close()


@pytest.fixture
def shared_by_processes(backend: Backend) -> None:
    if Can.BE_SHARED_BY_PROCESSES not in backend.can:
        pytest.skip(f"{backend.name} lives within one process")


@pytest.fixture
def client(stand: Stand) -> Any:
    return stand.client()


@pytest.fixture
def worker(stand: Stand) -> Any:
    return stand.worker()


@pytest.fixture
def queue() -> str:
    return QUEUE
