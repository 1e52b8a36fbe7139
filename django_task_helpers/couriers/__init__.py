"""
The couriers of `TASK_HELPERS["COURIERS"]`.

`couriers["alias"]` is one courier per process and alias, shared by all threads, so that all who
wait for results listen on one connection. It is built on first use; building opens no connection.
`courier` stands for `couriers["default"]`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

from django.core.signals import setting_changed
from django.utils.connection import ConnectionProxy

from django_task_helpers.conf import DEFAULT_ALIAS, SETTING, get_settings
from django_task_helpers.couriers.building import build_courier, courier_settings
from task_helpers.couriers.base import ClientWorkerTaskCourier


class Couriers:
    """Couriers by alias. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: dict[str, ClientWorkerTaskCourier] = {}

    def __getitem__(self, alias: str) -> ClientWorkerTaskCourier:
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


couriers = Couriers()
courier = cast(ClientWorkerTaskCourier, ConnectionProxy(cast(Any, couriers), DEFAULT_ALIAS))


def _rebuild(*, setting: str, **_: Any) -> None:
    if setting in (SETTING, "CACHES"):
        couriers.close_all()


setting_changed.connect(_rebuild, dispatch_uid=f"{__name__}._rebuild")
