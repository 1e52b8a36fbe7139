"""Django with the settings of the example, and the apps of `site/` to install."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

SITE = Path(__file__).parent / "site"

sys.path.append(str(SITE))

MEMORY = "task_helpers.couriers.memory.MemoryClientWorkerTaskCourier"


@pytest.fixture
def configured() -> Iterator[Callable[..., None]]:
    """Sets TASK_HELPERS, and other settings by keyword, until the test has ended."""
    overrides = []

    def configure(value: Any, **others: Any) -> None:
        override = override_settings(TASK_HELPERS=value, **others)
        override.enable()
        overrides.append(override)

    yield configure
    for override in reversed(overrides):
        override.disable()


@pytest.fixture
def on_memory(configured: Callable[..., None]) -> Callable[..., None]:
    """As `configured`, given the queues only; the tasks are kept in memory."""

    def configure(queues: dict[str, Any] | None = None, **others: Any) -> None:
        couriers = {"default": {"BACKEND": MEMORY}}
        configured({"COURIERS": couriers, "QUEUES": queues or {}}, **others)

    return configure
