"""What a system must be able to do to be measured. Runs in the virtualenv of that system."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

from ledger import Ledger

OWN = ("raw", "ours")
PEERS = ("celery", "rq", "dramatiq", "huey", "saq", "predecessor")
SYSTEMS = (*OWN, *PEERS)

ON_DATABASE = "ours_on_database"
DATABASE_PEERS = ("django_tasks_db", "django_ox", "procrastinate")
DATABASE_SYSTEMS = (ON_DATABASE, *DATABASE_PEERS)
DATABASES = ("sqlite", "postgresql")
ONLY_ON = {"procrastinate": "postgresql"}

OURS = ("ours", ON_DATABASE)

TIMEOUT = 60.0
"""Seconds after which a result counts as not coming."""

Data = dict[str, str]


class System:
    """
    One process makes one of these and is a client, another makes one and is the worker.

    - results - False: nobody will ask for results.
    - packages - whose versions are told, the system's own first.
    - settings - what was chosen for it, in words.
    - share - how much of a workload's count it gets: a slow one needs fewer tasks to be measured.
    """

    packages: ClassVar[tuple[str, ...]]
    settings: ClassVar[str]
    share: ClassVar[float] = 1.0

    def __init__(self, url: str, results: bool) -> None:
        self.url = url
        self.results = results

    def prepare(self) -> None:
        """Makes its tables, where it keeps tasks in a database."""

    # --- The client

    def add(self, data: Data) -> Any:
        """Returns what `wait` needs to find the result."""
        raise NotImplementedError

    def add_many(self, many: Sequence[Data]) -> list[Any]:
        return [self.add(data) for data in many]

    def wait(self, added: Sequence[Any]) -> list[Any]:
        """The results of all of them, in the same order."""
        raise NotImplementedError

    def call(self, data: Data) -> Any:
        """Safe to be called by many threads."""
        return self.wait([self.add(data)])[0]

    def can_write(self) -> bool:
        """Whether nobody else has a lock on the whole of the store."""
        return True

    # --- The worker

    def work(self, ledger: Ledger) -> None:
        """Performs tasks until it is killed: the result of each is its data."""
        raise NotImplementedError


def system(name: str) -> type[System]:
    """The module of each has one class of this name."""
    is_peer = name in (*PEERS, *DATABASE_PEERS)
    return import_module(f"peers.{name}" if is_peer else name).Measured
