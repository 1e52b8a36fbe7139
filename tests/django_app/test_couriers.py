"""`courier` and `couriers`, as a project imports them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation

from django_task_helpers import async_courier, async_couriers, courier, couriers
from django_task_helpers.conf import CourierSettings
from django_task_helpers.couriers.building import build_courier, knowing_transactions
from django_task_helpers.couriers.database import (
    DatabaseClientTaskCourier,
    DatabaseWorkerTaskCourier,
)
from django_task_helpers.couriers.transactional_async import AsyncTransactionalClient
from task_helpers.couriers.memory import MemoryClientTaskCourier, MemoryWorkerTaskCourier
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.testing import assert_enqueued, run_queue, running_worker
from task_helpers.workers.base import BaseWorker
from tests.support.docs import ROOT
from tests.support.docs_processes import run

REDIS = "task_helpers.couriers.redis.RedisClientWorkerTaskCourier"
MEMORY = "task_helpers.couriers.memory.MemoryClientWorkerTaskCourier"
NOWHERE = "redis://127.0.0.1:1/0"


class Echo(BaseWorker):
    queue_name = "sums"

    def perform_tasks(self, tasks: Any) -> Any:
        return tasks


IMPORTS_A_MODULE = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["django_task_helpers"])
import django; django.setup()

import django_task_helpers.couriers.database as database
if database.DatabaseClientTaskCourier: print("named")

import django_task_helpers.couriers.database_async
if django_task_helpers.couriers.database_async.DatabaseAsyncClientTaskCourier: print("by path")
"""


def one(**keys: Any) -> dict[str, Any]:
    return {"COURIERS": {"default": keys}}


def connection_settings(alias: str = "default") -> dict[str, Any]:
    built: Any = couriers[alias]
    return built.redis_connection.connection_pool.connection_kwargs


def test_couriers_do_not_hide_the_modules_of_their_package() -> None:
    assert run(["python", "-c", IMPORTS_A_MODULE], ROOT) == "named\nby path\n"
    with pytest.raises(AttributeError, match="no attribute 'databse'"):
        _ = couriers.databse


def test_a_task_goes_round_through_the_alias_of_django_redis(
    configured, redis_url: str, prefix: str
) -> None:
    # given a courier over a cache
    caches = {"tasks": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}}
    configured(one(BACKEND=REDIS, CACHE="tasks", OPTIONS={"prefix": prefix}), CACHES=caches)
    # when a task is added, performed and read
    task_id = courier.add_task_to_queue("sums", {"terms": (1, 2)})
    [(taken, task_data)] = courier.get_tasks("sums")
    courier.return_task_result("sums", taken, sum(task_data["terms"]))
    # then its result comes back
    assert courier.wait_for_task_result("sums", task_id, timeout=5) == 3


def test_a_url_does_in_place_of_a_cache(configured, redis_url: str, prefix: str) -> None:
    configured(one(BACKEND=REDIS, LOCATION=redis_url, OPTIONS={"prefix": prefix}))
    task_id = courier.add_task_to_queue("sums", 1)
    assert courier.cancel_task("sums", task_id)


def test_building_opens_no_connection(configured) -> None:
    # given addresses where no Redis is
    caches = {"away": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": NOWHERE}}
    both = {
        "cache": {"BACKEND": REDIS, "CACHE": "away"},
        "url": {"BACKEND": REDIS, "LOCATION": NOWHERE},
    }
    configured({"COURIERS": both}, CACHES=caches)
    # when the couriers are built, then nothing fails
    built = [couriers[alias] for alias in couriers]
    assert [isinstance(one, RedisClientWorkerTaskCourier) for one in built] == [True] * 2


def test_all_threads_share_one_courier_per_alias(on_memory, monkeypatch) -> None:
    # given that building takes as long as a second thread needs to begin it too, if it can
    together = Barrier(2)

    def build_slowly(courier_settings: CourierSettings) -> Any:
        with suppress(BrokenBarrierError):
            together.wait(0.2)
        return build_courier(courier_settings)

    monkeypatch.setattr(sys.modules["django_task_helpers.couriers"], "build_courier", build_slowly)
    on_memory()
    # when many threads use it for the first time
    with ThreadPoolExecutor(20) as pool:
        built = set(pool.map(lambda _: id(couriers["default"]), range(200)))
    # then all have the same
    assert len(built) == 1


def test_aliases_of_one_url_have_their_own_options(configured) -> None:
    # given two caches at one address, for which django-redis keeps one pool
    caches = {
        name: {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": NOWHERE,
            "OPTIONS": {"PASSWORD": password},
        }
        for name, password in (("one", "sesame"), ("two", "open"))
    }
    value = {"COURIERS": {name: {"BACKEND": REDIS, "CACHE": name} for name in caches}}
    configured(value, CACHES=caches)
    # when the couriers are built, then each has the password of its alias
    assert connection_settings("one")["password"] == "sesame"
    assert connection_settings("two")["password"] == "open"


def test_of_several_locations_the_first_is_used(configured) -> None:
    locations = [NOWHERE, "redis://127.0.0.1:2/0"]
    caches = {"many": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": locations}}
    configured(one(BACKEND=REDIS, CACHE="many"), CACHES=caches)
    assert connection_settings()["port"] == 1


def test_options_go_to_the_constructor(configured) -> None:
    configured(one(BACKEND=MEMORY, OPTIONS={"result_ttl": 60, "serializer": "json"}))
    assert courier.options.result_ttl == 60
    assert courier.options.serializer == "json"


def test_other_settings_make_another_courier(on_memory) -> None:
    # given a courier in use
    on_memory()
    former = couriers["default"]
    former.add_task_to_queue("mail", 1)
    # when the settings change
    on_memory()
    # then the next use builds a new one
    assert couriers["default"] is not former
    assert courier.get_queue_stats("mail").waiting == 0


def test_an_unknown_alias_is_named_with_those_that_exist(on_memory) -> None:
    on_memory()
    with pytest.raises(ImproperlyConfigured) as caught:
        couriers["defualt"]
    assert str(caught.value) == (
        "TASK_HELPERS[\"COURIERS\"]: there is no courier 'defualt': "
        "did you mean 'default'? known: default"
    )


def test_a_backend_of_the_project_s_own_stays_what_it_is() -> None:
    # given a courier class that adds in its own way
    class Own(MemoryClientTaskCourier):
        """Mine."""

        def add_task_to_queue(self, queue_name: str, task_data: Any, **options: Any) -> UUID:
            return super().add_task_to_queue(queue_name, {"own": task_data}, **options)

    # when it is made to know transactions
    made: Any = knowing_transactions(Own)()
    # then it is one of its own kind by name, and adds as before
    assert isinstance(made, Own)
    assert (type(made).__name__, type(made).__doc__) == ("Own", "Mine.")
    made.add_task_to_queue("sums", 1)
    assert_enqueued(made, "sums", {"own": 1}, count=1)
    # and its twin knows them too
    assert isinstance(made.awaitable(), AsyncTransactionalClient)


def test_what_adds_no_tasks_or_knows_transactions_is_left_alone() -> None:
    for kind in (MemoryWorkerTaskCourier, DatabaseClientTaskCourier, DatabaseWorkerTaskCourier):
        assert knowing_transactions(kind) is kind


def test_importing_needs_no_settings() -> None:
    program = "import django_task_helpers"
    program += "; from django_task_helpers import async_courier, async_couriers, courier, couriers"
    program += "; import django_task_helpers.couriers.building"
    program += "; assert django_task_helpers.couriers is couriers"
    environment = {"DJANGO_SETTINGS_MODULE": "", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_a_server_that_does_not_answer_is_named(configured) -> None:
    configured(one(BACKEND=REDIS, LOCATION=NOWHERE, OPTIONS={"retry_seconds": 0}))
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1"):
        courier.add_task_to_queue("mail", 1)


WAITS = [
    ("call", ("mail", 1), {"timeout": 0}),
    ("wait_for_task_result", ("mail", uuid4()), {"timeout": 0}),
    ("bulk_wait_for_task_results", ("mail", [uuid4()]), {"timeout": 0}),
    ("wait_for_task", ("mail",), {"timeout": 0}),
    ("bulk_wait_for_tasks", ("mail", 1), {"timeout": 0}),
    ("iter_task_results", ("mail", []), {"timeout": 0}),
]


@pytest.mark.parametrize(("name", "arguments", "keywords"), WAITS, ids=[name for name, *_ in WAITS])
def test_what_waits_is_refused_in_an_event_loop(on_memory, name, arguments, keywords) -> None:
    on_memory()

    async def view() -> None:
        getattr(courier, name)(*arguments, **keywords)

    with pytest.raises(SynchronousOnlyOperation) as caught:
        asyncio.run(view())
    assert f"await async_courier.{name}(...)" in str(caught.value)


def test_the_remedy_for_event_loops_works(on_memory) -> None:
    on_memory()

    async def view() -> int:
        return await async_courier.call("sums", 2, timeout=5)

    with running_worker(courier, Echo):
        assert asyncio.run(view()) == 2


def test_what_does_not_wait_may_be_used_in_an_event_loop(on_memory) -> None:
    on_memory()

    async def view() -> UUID:
        return courier.add_task_to_queue("sums", 2)

    assert courier.get_task_status("sums", asyncio.run(view())) == "waiting"


def test_django_s_switch_for_notebooks_counts(on_memory, monkeypatch) -> None:
    on_memory()
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    async def cell() -> None:
        courier.wait_for_task("mail", timeout=0)

    with pytest.raises(TimeoutError):
        asyncio.run(cell())


def test_the_lazy_courier_does_for_test_helpers(on_memory) -> None:
    # given a worker that has the courier itself
    on_memory()
    task_id = courier.add_task_to_queue("sums", 2)
    # when it is run with the one that stands for it
    assert run_queue(courier, Echo(couriers["default"])) == 1
    # then both are the same
    assert courier.get_task_result("sums", task_id) == 2


def test_async_views_under_wsgi_have_a_loop_each(configured, redis_url: str, prefix: str) -> None:
    # given an alias on Redis, and views whose loop ends with them, as under WSGI
    options = {"prefix": prefix}
    configured(
        {"COURIERS": {"sums": {"BACKEND": REDIS, "LOCATION": redis_url, "OPTIONS": options}}}
    )

    @async_to_sync
    async def view(number: int) -> Any:
        return await async_couriers["sums"].call("sums", number, timeout=5)

    # when several are asked one after another
    # then each is answered
    with running_worker(couriers["sums"], Echo):
        assert [view(number) for number in range(3)] == [0, 1, 2]


def test_awaitable_couriers_follow_the_settings(on_memory) -> None:
    on_memory()
    former = async_couriers["default"]
    assert former is async_couriers["default"]
    on_memory()
    assert async_couriers["default"] is not former
    assert list(async_couriers) == ["default"]


def test_an_awaitable_courier_shares_the_tasks_of_the_blocking_one(on_memory) -> None:
    on_memory()
    task_id = asyncio.run(async_courier.add_task_to_queue("sums", 2))
    assert courier.get_tasks("sums") == [(task_id, 2)]
