from __future__ import annotations

import pytest

from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier

QUEUE = "work"


@pytest.fixture
def courier() -> MemoryClientWorkerTaskCourier:
    """What a worker does with its batch is the same whatever the courier."""
    return MemoryClientWorkerTaskCourier()
