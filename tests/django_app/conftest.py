"""Django with the settings of the example, and the apps of `site/` to install."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

SITE = Path(__file__).parent / "site"

sys.path.append(str(SITE))

MEMORY = "task_helpers.couriers.memory.MemoryClientWorkerTaskCourier"


@pytest.fixture
def configured(settings: Any) -> Callable[..., None]:
    """Sets TASK_HELPERS, and other settings by keyword, until the test has ended."""

    def configure(value: Any, **others: Any) -> None:
        for name, setting in {"TASK_HELPERS": value, **others}.items():
            setattr(settings, name, setting)

    return configure


@pytest.fixture
def on_memory(configured: Callable[..., None]) -> Callable[..., None]:
    """As `configured`, given the queues only; the tasks are kept in memory."""

    def configure(queues: dict[str, Any] | None = None, **others: Any) -> None:
        couriers = {"default": {"BACKEND": MEMORY}}
        configured({"COURIERS": couriers, "QUEUES": queues or {}}, **others)

    return configure


@pytest.fixture
def stamped(transactional_db: None) -> Iterator[type[models.Model]]:
    """A model with a key of its own making and a time of change, with its table."""
    with isolate_apps("shop"):

        class Stamped(models.Model):
            id = models.UUIDField(primary_key=True, default=uuid.uuid4)
            name = models.CharField(max_length=20, unique=True)
            changed_at = models.DateTimeField(auto_now=True)

            class Meta:
                app_label = "shop"

            def __str__(self) -> str:
                return self.name

        with connection.schema_editor() as editor:
            editor.create_model(Stamped)
        yield Stamped
        with connection.schema_editor() as editor:
            editor.delete_model(Stamped)
