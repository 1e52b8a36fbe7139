"""What may hold the tasks of a field: a server or a file of one's own, made by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import django

TEST_PROJECT = Path(__file__).resolve().parent.parent.parent / "testproject"

MODULES = {"redis": "redis_store", "sqlite": "database_stores", "postgres": "database_stores"}
"""Where the kinds of stores are: `opened(kind, folder, settings)` and `worker_courier` there."""


class Store(Protocol):
    """
    - kind - one of MODULES; address - what a worker process needs to find it, fit for JSON.
    """

    @property
    def kind(self) -> str: ...

    @property
    def address(self) -> Any: ...

    def courier(self) -> Any:
        """A client's."""

    def takes_writes(self) -> bool:
        """No process that was stopped keeps it locked."""

    def leftovers(self, queue: str) -> list[str]:
        """What should be empty when all tasks have ended, and is not."""


@contextmanager
def opened(kind: str, folder: Path, **settings: str) -> Iterator[Any]:
    """A new store, in an empty folder."""
    with _module(kind).opened(kind, folder, settings) as store:
        yield store


def worker_courier(kind: str, address: Any, **options: Any) -> Any:
    return _module(kind).worker_courier(address, **options)


def _module(kind: str) -> Any:
    """Imported when it is needed: models can be only after Django was set up."""
    if MODULES[kind] == "database_stores":
        _set_django_up()
    return importlib.import_module(f"tests.faults.{MODULES[kind]}")


def _set_django_up() -> None:
    """For the store of the faults, whatever settings the parent process has."""
    if str(TEST_PROJECT) not in sys.path:
        sys.path.append(str(TEST_PROJECT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.faults.settings"
    django.setup()
