"""From the settings of a courier to the courier. Nothing here opens a connection."""

from __future__ import annotations

import inspect
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

import redis
from django.conf import settings as django_settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.utils.asyncio import async_unsafe

from django_task_helpers.conf import (
    DEFAULT_ALIAS,
    CourierSettings,
    SettingError,
    get_settings,
    known,
    named_class,
    place,
)
from django_task_helpers.couriers.transactional import (
    TransactionalClient,
    TransactionalCourier,
)
from django_task_helpers.couriers.transactional_async import AsyncTransactionalClient
from task_helpers.couriers.base import ClientTaskCourier, TaskCourier
from task_helpers.couriers.options import CourierOptions

CONNECTION = "redis_connection"
"""The constructor's argument that CACHE and LOCATION are for."""


WAITING = (
    "call",
    "wait_for_task_result",
    "bulk_wait_for_task_results",
    "iter_task_results",
    "wait_for_task",
    "bulk_wait_for_tasks",
)
"""The methods that may take as long as their timeout."""


def courier_settings(alias: str, where: str = place("COURIERS")) -> CourierSettings:
    """
    The settings of one alias.

    - where - the setting that names it, for the message.

    Raises `SettingError` when there is no such alias.
    """
    found = get_settings().couriers
    if alias not in found:
        raise SettingError("E011", where, f"there is no courier {alias!r}", known(found, alias))
    return found[alias]


def build_courier(settings: CourierSettings) -> TransactionalCourier:
    """
    A new courier; raises `SettingError` for settings that make none.

    The type is that of a courier for both sides, which most are; one for a single side lacks the
    methods of the other. In a thread with a running event loop its methods that wait raise
    `SynchronousOnlyOperation`.
    """
    backend = _backend(settings)
    keywords = _keywords(backend)
    arguments = dict(settings.options)
    _check_options(settings, keywords)
    if (connection := _connection(settings, needed=CONNECTION in keywords)) is not None:
        arguments[CONNECTION] = connection
    try:
        built = knowing_transactions(backend)(**arguments)
    except (TypeError, ValueError) as error:
        remedy = f"correct it; {known(keywords - {CONNECTION})}"
        raise SettingError("E007", settings.where("OPTIONS"), str(error), remedy) from error
    _keep_out_of_event_loops(built, settings.alias)
    return cast(TransactionalCourier, built)


def knowing_transactions(backend: type[TaskCourier]) -> type[TaskCourier]:
    """The class under its own name whose client side is transactional, and so is its twin's."""
    if not issubclass(backend, ClientTaskCourier) or issubclass(backend, TransactionalClient):
        return backend
    twin = backend._twin and _mixed(AsyncTransactionalClient, backend._twin)
    return _mixed(TransactionalClient, backend, _twin=twin)


def _mixed(face: type, backend: type, **attributes: Any) -> type[Any]:
    named = {name: getattr(backend, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(backend.__name__, (face, backend), named | attributes)


def _keep_out_of_event_loops(courier: TaskCourier, alias: str) -> None:
    """There each wait would hold up all requests of the process, not its own alone."""
    awaitable = "async_courier" if alias == DEFAULT_ALIAS else f'async_couriers["{alias}"]'
    for name in WAITING:
        if method := getattr(courier, name, None):
            remedy = f"await {awaitable}.{name}(...)"
            message = f"{name} would hold up the event loop while it waits: write {remedy}."
            setattr(courier, name, async_unsafe(message)(method))


def _backend(settings: CourierSettings) -> type[TaskCourier]:
    where = settings.where("BACKEND")
    if not settings.backend:
        raise SettingError("E003", where, "is missing", "name a courier class by its dotted path")
    return named_class("E003", where, settings.backend, TaskCourier, "courier")


def _keywords(backend: type) -> set[str]:
    """What the constructor takes by name: also that which a subclass passes on with **keywords."""
    constructors = (vars(base).get("__init__") for base in backend.__mro__)
    named = {
        parameter.name
        for constructor in constructors
        if inspect.isfunction(constructor)
        for parameter in inspect.signature(constructor).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return named - {"self", "store", "perform", "options"} | CourierOptions.names()


def _check_options(settings: CourierSettings, keywords: set[str]) -> None:
    """In Python an unknown keyword becomes an attribute; in settings it is a slip of the pen."""
    allowed = keywords - {CONNECTION}
    if unknown := [name for name in settings.options if name not in allowed]:
        are = "is not an option" if len(unknown) == 1 else "are not options"
        what = f"{' and '.join(map(repr, unknown))} {are}"
        raise SettingError("E007", settings.where("OPTIONS"), what, known(allowed, *unknown))


def _connection(settings: CourierSettings, needed: bool) -> Any:
    given = [key for key in ("CACHE", "LOCATION") if getattr(settings, key.lower()) is not None]
    where = place("COURIERS", settings.alias)
    if needed and not given:
        remedy = 'add "CACHE" (a django-redis alias) or "LOCATION" (a redis:// URL)'
        raise SettingError("E004", where, "says of no Redis where it is", remedy)
    if given and not needed:
        what = f"{settings.backend} takes no connection"
        raise SettingError("E004", where, what, f"remove {' and '.join(given)}")
    if len(given) == 2:
        raise SettingError("E004", where, "has both CACHE and LOCATION", "remove one")
    if not given:
        return None
    return _of_cache(settings) if settings.cache else _of_location(settings)


def _of_location(settings: CourierSettings) -> redis.Redis:
    url = settings.location or ""
    try:
        client = redis.Redis.from_url(url)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # says what of the URL it does not take
        _check_database(urlsplit(url))
        return client
    except (ValueError, TypeError) as error:
        remedy = "write a URL such as redis://127.0.0.1:6379/0"
        raise SettingError("E006", settings.where("LOCATION"), str(error), remedy) from error


def _check_database(url: SplitResult) -> None:
    """A word would be database 0 without a sound. The path of a unix:// URL is that of a socket."""
    number = unquote(url.path).strip("/")
    if url.scheme != "unix" and number and not number.isdecimal():
        raise ValueError(f"{number!r:.100} is no number of a database")


def _of_cache(settings: CourierSettings) -> redis.Redis:
    """
    A client with the settings of that very alias. django-redis keeps one pool per URL, whatever
    the OPTIONS of the alias that asks; this cache object is ours alone, and so is its pool.
    """
    alias, where = settings.cache or DEFAULT_ALIAS, settings.where("CACHE")
    if alias not in django_settings.CACHES:
        what = f"there is no cache {alias!r} in CACHES"
        raise SettingError("E005", where, what, known(django_settings.CACHES, alias))
    try:
        client = cast(Any, caches.create_connection(alias)).client
        factory = client.connection_factory
        factory.get_or_create_connection_pool = factory.get_connection_pool
        return cast(redis.Redis, client.get_client(write=True))
    except (AttributeError, NotImplementedError) as error:
        what = f"the cache {alias!r} gives no Redis client"
        remedy = "use an alias with BACKEND django_redis.cache.RedisCache, or LOCATION"
        raise SettingError("E005", where, what, remedy) from error
    except (ImproperlyConfigured, ImportError, ValueError, TypeError) as error:
        what = f"the cache {alias!r} cannot be used: {error}"
        raise SettingError("E005", where, what, "correct it in CACHES") from error
