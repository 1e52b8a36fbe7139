"""
The couriers of `TASK_HELPERS["COURIERS"]`.

`couriers["alias"]` is one courier per process and alias, shared by all threads, so that all who
wait for results listen on one connection. It is built on first use; building opens no connection.
`courier` stands for `couriers["default"]`.

`async_couriers["alias"]` is the same courier with coroutines, `async_courier` the default one. Each
event loop has connections of its own, which end with it: under ASGI that is one loop per process,
under WSGI one per request of an `async` view.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any, cast
from weakref import WeakKeyDictionary

from django.core.signals import setting_changed
from django.utils.connection import ConnectionProxy

from django_task_helpers.conf import DEFAULT_ALIAS, SETTING, get_settings
from django_task_helpers.couriers.building import build_courier, courier_settings
from django_task_helpers.couriers.transactional import TransactionalCourier
from django_task_helpers.couriers.transactional_async import (
    AsyncTransactionalCourier,
)


class Couriers:
    """Couriers by alias. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: dict[str, TransactionalCourier] = {}

    def __getitem__(self, alias: str) -> TransactionalCourier:
        """Raises `ImproperlyConfigured` for an unknown alias and for unusable settings."""
        if alias not in self._built:
            with self._lock:
                if alias not in self._built:
                    self._built[alias] = build_courier(courier_settings(alias))
        return self._built[alias]

    def __iter__(self) -> Iterator[str]:
        """The aliases."""
        return iter(get_settings().couriers)

    def close_all(self) -> None:
        """Forgets all couriers and closes their connections; the next use builds new ones."""
        with self._lock:
            former, self._built = self._built, {}
        for built in former.values():
            built.close()

    def __getattr__(self, name: str) -> ModuleType:
        """The modules of this package: `django_task_helpers.couriers` is these couriers instead."""
        if module := sys.modules.get(f"{__name__}.{name}"):
            return module
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class AsyncCouriers:
    """
    Awaitable couriers by alias, as long as the blocking one that they are made from is in use. Safe
    to share between threads and event loops.
    """

    def __init__(self, couriers: Couriers) -> None:
        self._couriers = couriers
        self._built = WeakKeyDictionary[TransactionalCourier, AsyncTransactionalCourier]()

    def __getitem__(self, alias: str) -> AsyncTransactionalCourier:
        """
        Raises `ImproperlyConfigured` for an unknown alias and for unusable settings, `TypeError`
        for a backend that has no awaitable courier.
        """
        blocking = self._couriers[alias]
        if blocking not in self._built:
            self._built.setdefault(blocking, blocking.awaitable())
        return self._built[blocking]

    def __iter__(self) -> Iterator[str]:
        """The aliases."""
        return iter(self._couriers)


couriers = Couriers()
async_couriers = AsyncCouriers(couriers)
async_courier = cast(
    AsyncTransactionalCourier,
    ConnectionProxy(cast(Any, async_couriers), DEFAULT_ALIAS),
)
courier = cast(TransactionalCourier, ConnectionProxy(cast(Any, couriers), DEFAULT_ALIAS))


def _rebuild(*, setting: str, **_: Any) -> None:
    if setting in (SETTING, "CACHES"):
        couriers.close_all()


setting_changed.connect(_rebuild, dispatch_uid=f"{__name__}._rebuild")
