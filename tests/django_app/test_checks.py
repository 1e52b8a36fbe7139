"""What `manage.py check` says of wrong settings, by id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from config import environment
from django_task_helpers import couriers
from django_task_helpers.checks import check_command_name, check_databases, check_settings
from django_task_helpers.couriers._database.concerns import concerns_of
from django_task_helpers.workers import build_worker, known_queues
from tests.support.databases import bare_database

REDIS = "task_helpers.couriers.redis.RedisClientWorkerTaskCourier"
MEMORY = "task_helpers.couriers.memory.MemoryClientWorkerTaskCourier"
BULK = "django_task_helpers.bulk"
CLIENT = "task_helpers.couriers.memory.MemoryClientTaskCourier"
DATABASE = "django_task_helpers.couriers.database.DatabaseClientWorkerTaskCourier"
NOWHERE = "redis://127.0.0.1:1/0"
CACHES = {
    "redis": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": NOWHERE},
    "sharded": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": NOWHERE,
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.ShardClient"},
    },
    "typo": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": NOWHERE,
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.Nothing"},
    },
    "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}


def courier(**keys: Any) -> dict[str, Any]:
    return {"COURIERS": {"default": keys}}


def queue(**keys: Any) -> dict[str, Any]:
    return courier(BACKEND=MEMORY) | {"QUEUES": {"mail": keys}}


def bulk(**options: Any) -> dict[str, Any]:
    return queue(WORKER=f"{BULK}.BulkCreateWorker", OPTIONS=options)


ON_DEFAULT = 'TASK_HELPERS["COURIERS"]["default"]'
ON_MAIL = 'TASK_HELPERS["QUEUES"]["mail"]'

WRONG = [
    ([], "E001", "TASK_HELPERS: is a list"),
    ({"COURIERS": []}, "E001", 'TASK_HELPERS["COURIERS"]: is a list'),
    (courier(BACKEND=MEMORY, OPTIONS=3), "E001", f'{ON_DEFAULT}["OPTIONS"]: is a int'),
    (courier(BACKEND=3), "E001", f'{ON_DEFAULT}["BACKEND"]: is 3'),
    ({"COURIER": {}}, "E002", "TASK_HELPERS: 'COURIER' is not a key of it"),
    (courier(BACKEND=MEMORY, CASHE="x"), "E002", f"{ON_DEFAULT}: 'CASHE' is not a key of it"),
    (queue(WORKERS="x"), "E002", f"{ON_MAIL}: 'WORKERS' is not a key of it"),
    (
        courier(BACKEND=CLIENT) | {"QUEUES": {"mail": {}, "post": {}}},
        "E003",
        f'{ON_DEFAULT}["BACKEND"]: MemoryClientTaskCourier takes no tasks',
    ),
    (courier(LOCATION=NOWHERE), "E003", f'{ON_DEFAULT}["BACKEND"]: is missing'),
    (courier(BACKEND="no.such.Courier"), "E003", f'{ON_DEFAULT}["BACKEND"]: No module named'),
    (courier(BACKEND="datetime.date"), "E003", "datetime.date is not a courier"),
    (courier(BACKEND=REDIS), "E004", f"{ON_DEFAULT}: says of no Redis where it is"),
    (courier(BACKEND=REDIS, CACHE="redis", LOCATION=NOWHERE), "E004", "has both"),
    (courier(BACKEND=MEMORY, LOCATION=NOWHERE), "E004", "takes no connection"),
    (courier(BACKEND=REDIS, CACHE="reddis"), "E005", f'{ON_DEFAULT}["CACHE"]: there is no cache'),
    (courier(BACKEND=REDIS, CACHE="local"), "E005", "'local' gives no Redis client"),
    (courier(BACKEND=REDIS, CACHE="sharded"), "E005", "'sharded' gives no Redis client"),
    (courier(BACKEND=REDIS, CACHE="typo"), "E005", "'typo' cannot be used"),
    (courier(BACKEND=REDIS, LOCATION="127.0.0.1"), "E006", f'{ON_DEFAULT}["LOCATION"]: '),
    (courier(BACKEND=MEMORY, OPTIONS={"result_tll": 1}), "E007", "'result_tll' is not an option"),
    (courier(BACKEND=MEMORY, OPTIONS={"lease": -1}), "E007", f'{ON_DEFAULT}["OPTIONS"]: lease'),
    (courier(BACKEND=MEMORY, OPTIONS={"lease": "x"}), "E007", "lease must be a number of seconds"),
    (courier(BACKEND=MEMORY, OPTIONS={"a": 1, "b": 2}), "E007", "'a' and 'b' are not options"),
    (courier(BACKEND=MEMORY) | {"QUEUES": {"a b": {}}}, "E008", "'a b' is not a queue name"),
    (queue(WORKER="no.such.Worker"), "E009", f'{ON_MAIL}["WORKER"]: No module named'),
    (queue(WORKER="datetime.date"), "E009", "datetime.date is not a worker"),
    (queue(OPTIONS={"max_task": 5}), "E010", f"{ON_MAIL}[\"OPTIONS\"]: 'max_task' is not a field"),
    (queue(OPTIONS={"a": 5, "b": 6}), "E010", "'a' and 'b' are not fields of ClassicWorker"),
    (queue(OPTIONS={"perform_tasks": 5}), "E010", "'perform_tasks' is not a field"),
    (queue(OPTIONS={"threads": "8"}), "E010", f'{ON_MAIL}["OPTIONS"]: threads must be a whole'),
    (queue(OPTIONS={"linger": "auto"}), "E010", "needs a target_latency"),
    (queue(OPTIONS={"max_tasks_per_iteration": 5000}), "E010", "from 1 to 1000, not 5000"),
    (queue(OPTIONS={"retry_on": ["OSError"]}), "E010", "retry_on must be types of errors"),
    (queue(OPTIONS={"time_limit": "1m"}), "E010", "time_limit must be a number of seconds"),
    (queue(OPTIONS={"atomic": "replica"}), "E010", "atomic names 'replica', which is no database"),
    (queue(OPTIONS={"atomic": 5}), "E010", "atomic must be True, False or aliases of databases"),
    (queue(WORKER=f"{BULK}.BulkGetWorker"), "E010", f'{ON_MAIL}["OPTIONS"]: set model of'),
    (
        queue(WORKER=f"{BULK}.BulkGetWorker", OPTIONS={"model": "auth.User", "lookup_field": []}),
        "E010",
        "auth.User has no column []",
    ),
    (
        bulk(
            model="auth.User",
            unique_fields=["username"],
            update_conflicts=True,
            update_fields=["email", "pk"],
        ),
        "E010",
        "update_fields has the key: the key of a row stays as it is",
    ),
    (queue(OPTIONS={"burst": "no"}), "E010", "burst must be True or False, not 'no'"),
    (bulk(model="shop.Shelf"), "E010", "model of BulkCreateWorker: App 'shop' doesn't have"),
    (bulk(model="auth.User", fields="id"), "E010", "fields must be a list of names"),
    (bulk(model="auth.User", using="replica"), "E010", "there is no database 'replica'"),
    (bulk(model="auth.User", batch_size=0), "E010", "batch_size must be a whole number above 0"),
    (
        bulk(model="auth.User", unique_fields=["email"], ignore_conflicts=True),
        "E010",
        "email of auth.User is not unique",
    ),
    (courier(BACKEND=REDIS, LOCATION="redis://localhost/zero"), "E006", "'zero' is no number of"),
    (courier(BACKEND=REDIS, LOCATION="redis://localhost/0/1"), "E006", "'0/1' is no number of"),
    (courier(BACKEND=REDIS, LOCATION="redis://localhost/?db=x"), "E006", "db"),
    (courier(BACKEND=REDIS, LOCATION="redis://localhost?dbb=1"), "E006", "dbb"),
    (queue(COURIER="defalt"), "E011", f"{ON_MAIL}[\"COURIER\"]: there is no courier 'defalt'"),
]


def found() -> list[Any]:
    return [*check_settings(), *check_command_name()]


@pytest.mark.parametrize(("value", "id", "text"), WRONG, ids=[f"{i}-{t}" for _, i, t in WRONG])
def test_a_wrong_setting_is_one_error_with_a_hint(configured, value, id: str, text: str) -> None:
    # given settings with one mistake
    configured(value, CACHES=CACHES)
    # when the project is checked
    [message] = found()
    # then the only message has this id, says where and what, and what to do
    assert (message.id, message.is_serious()) == (f"task_helpers.{id}", True)
    assert text in message.msg
    assert message.hint
    # and using the settings says the same in one line
    with pytest.raises(ImproperlyConfigured) as caught:
        [couriers[alias] for alias in couriers] and [build_worker(name) for name in known_queues()]
    assert str(caught.value).startswith(message.msg)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({"COURIER": {}}, "did you mean 'COURIERS'? known: COURIERS, QUEUES."),
        (courier(BACKEND=MEMORY, CASHE="x"), "did you mean 'CACHE'?"),
        (courier(BACKEND=REDIS, CACHE="reddis"), "did you mean 'redis'?"),
        (courier(BACKEND=MEMORY, OPTIONS={"result_tll": 1}), "did you mean 'result_ttl'?"),
        (queue(OPTIONS={"lingr": 5}), "did you mean 'linger'?"),
        (queue(OPTIONS={"lingr": 5, "brst": 1}), "did you mean 'linger' and 'burst'?"),
        (queue(worker="x"), "did you mean 'WORKER'? known: COURIER, OPTIONS, WORKER."),
        (queue(COURIER="defalt"), "did you mean 'default'? known: default."),
        (
            courier(BACKEND="task_helpers.couriers.redis.RedisClientWorkerCourier"),
            "did you mean 'RedisClientWorkerTaskCourier'? known: RedisClientTaskCourier, "
            "RedisClientWorkerTaskCourier, RedisWorkerTaskCourier.",
        ),
        (
            courier(BACKEND="task_helpers.couriers.redis_async.RedisAsyncClientTaskCourier"),
            "name a courier class by its dotted path.",
        ),
        (
            queue(WORKER="shop.workers.BulkSaveWorkers"),
            "did you mean 'BulkSaveWorker'? known: BulkSaveWorker",
        ),
        (queue(WORKER="shop.models.Worker"), "name a worker class by its dotted path."),
        (queue(WORKER="Worker"), "name a worker class by its dotted path."),
    ],
)
def test_a_slip_of_the_pen_gets_the_name_that_was_meant(configured, value, hint: str) -> None:
    configured(value, CACHES=CACHES)
    assert found()[0].hint.startswith(hint)


def test_several_mistakes_are_reported_at_once(configured) -> None:
    couriers = {"default": {"BACKEND": REDIS}, "two": {"BACKEND": "datetime.date"}}
    configured({"COURIERS": couriers, "QUEUES": {"mail": {"WORKER": "x"}}})
    assert [m.id[-4:] for m in found()] == ["E004", "E003", "E009"]


def with_app(name: str) -> list[str]:
    return [*settings.INSTALLED_APPS, name]


def test_two_workers_for_one_queue_are_an_error(on_memory) -> None:
    on_memory(INSTALLED_APPS=with_app("twins"))
    [message] = found()
    assert message.id == "task_helpers.E012"
    assert "twins.workers.One and twins.workers.Other" in message.msg


def test_two_workers_for_one_queue_are_none_when_the_settings_choose(on_memory) -> None:
    on_memory({"twins": {"WORKER": "twins.workers.Other"}}, INSTALLED_APPS=with_app("twins"))
    assert found() == []
    assert known_queues()["twins"].worker_class.__name__ == "Other"


def test_the_queue_name_of_a_worker_class_is_checked_too(on_memory) -> None:
    on_memory(INSTALLED_APPS=with_app("misnamed"))
    [message] = found()
    assert message.id == "task_helpers.E008"
    assert message.msg.startswith("misnamed.workers.Spaced.queue_name: 'with space'")


@pytest.mark.parametrize(
    ("queue_name", "id", "text"),
    [
        ("slow", "E010", "odd.workers.Slow: linger must be a number of seconds"),
        ("idle", "E010", "odd.workers.Idle: override perform_tasks or perform_single_task"),
        ("broken", "E014", "odd.workers.Broken: cannot be made: KeyError: 'A_KEY_THAT_NOBODY"),
    ],
)
def test_what_is_wrong_in_a_class_is_found_where_it_is(
    on_memory, queue_name: str, id: str, text: str
) -> None:
    on_memory(INSTALLED_APPS=with_app("odd"))
    [message] = [m for m in found() if text in m.msg]
    assert message.id == f"task_helpers.{id}"
    with pytest.raises(ImproperlyConfigured) as caught:
        build_worker(queue_name)
    assert str(caught.value).startswith(message.msg)
    assert "\n" not in str(caught.value)


def test_a_worker_that_cannot_be_made_leads_to_the_line(on_memory) -> None:
    on_memory(INSTALLED_APPS=with_app("odd"))
    [message] = [m for m in found() if m.id == "task_helpers.E014"]
    assert re.fullmatch(r"correct .*/odd/workers\.py, line \d+\.", message.hint)


def test_a_misspelt_field_is_a_warning(on_memory) -> None:
    on_memory(INSTALLED_APPS=with_app("odd"))
    [message] = [m for m in found() if m.id == "task_helpers.W003"]
    assert not message.is_serious()
    assert message.msg == (
        "odd.workers: Slipped has max_task_per_iteration: did you mean max_tasks_per_iteration?"
    )


def test_a_constructor_that_takes_no_fields_can_be_given_none(on_memory) -> None:
    on_memory({"plain": {"OPTIONS": {"linger": 1}}}, INSTALLED_APPS=with_app("odd"))
    [message] = [m for m in found() if "plain" in m.msg]
    assert message.id == "task_helpers.E010"
    assert message.msg.endswith(
        "[\"OPTIONS\"]: Plain takes no fields: got an unexpected keyword argument 'linger'"
    )


def test_options_may_change_a_class_that_is_a_value(on_memory) -> None:
    # given a worker whose class has a model
    on_memory({"groups": {"OPTIONS": {"model": User}}}, INSTALLED_APPS=with_app("odd"))
    # when the settings name another one, then that is no error
    assert not [m for m in found() if "groups" in m.msg]
    assert build_worker("groups").model is User


def test_the_checks_open_no_connection(configured, monkeypatch: pytest.MonkeyPatch) -> None:
    # given that nothing may be connected with
    def refuse(*_: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    workers = {
        "a": {"WORKER": "task_helpers.workers.classic_async.ClassicAsyncWorker"},
        "b": {"OPTIONS": {"threads": 3, "atomic": False}},
        "c": {
            "WORKER": "django_task_helpers.bulk.BulkCreateWorker",
            "OPTIONS": {
                "model": "auth.User",
                "unique_fields": ["username"],
                "update_conflicts": True,
                "update_fields": ["email"],
            },
        },
        "d": {
            "WORKER": "django_task_helpers.bulk.BulkGetWorker",
            "OPTIONS": {"model": "auth.User"},
        },
    }
    at = {"BACKEND": REDIS, "LOCATION": NOWHERE}
    configured({"COURIERS": {"default": at}, "QUEUES": workers})
    # when the project is checked, then all workers are looked at
    assert found() == []


@pytest.mark.parametrize(
    ("code", "error", "line"),
    [
        ("import os\nimport no_such_module", "ModuleNotFoundError: No module named", 2),
        ("from no_such_module import x", "ModuleNotFoundError: No module named", 1),
        ("\n1 / 0", "ZeroDivisionError: division by zero", 2),
        ("\n\nx = (", "SyntaxError: '(' was never closed", 3),
    ],
)
def test_workers_that_cannot_be_imported_are_an_error_that_leads_to_the_line(
    on_memory, monkeypatch, tmp_path: Path, code: str, error: str, line: int
) -> None:
    # given an app whose workers.py has a bug
    app = tmp_path / f"app_{uuid4().hex}"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "workers.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    on_memory(INSTALLED_APPS=with_app(app.name))
    # when the project is checked
    [message] = found()
    # then the original error and its place are said
    assert message.id == "task_helpers.E013"
    assert message.msg.startswith(f"{app.name}.workers: cannot be imported: {error}")
    assert message.hint == f"correct {app / 'workers.py'}, line {line}."
    # and using the queues says the same
    with pytest.raises(ImproperlyConfigured) as caught:
        known_queues()
    assert str(caught.value).startswith(message.msg)


def test_right_settings_are_no_error(configured) -> None:
    assert found() == []


def test_absent_settings_mean_the_default_database(configured) -> None:
    configured(None)
    assert found() == []


def test_a_database_that_is_not_there_is_named(configured) -> None:
    # given a courier over one with a slip of the pen
    configured(courier(BACKEND=DATABASE, OPTIONS={"using": "defalt"}))
    # when the project is checked
    [message] = found()
    # then the error says where and what was meant
    assert message.id == "task_helpers.E007"
    assert message.msg.startswith(f"{ON_DEFAULT}[\"OPTIONS\"]: using names 'defalt', which is no")
    assert "did you mean 'default'?" in message.msg


class NoTables:
    """A database router that keeps the app out."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "django_task_helpers"


def test_routers_that_keep_the_tables_out_are_an_error(configured, settings) -> None:
    settings.DATABASE_ROUTERS = [NoTables()]
    configured(None)
    [message] = found()
    assert (message.id, message.is_serious()) == ("task_helpers.E015", True)
    assert message.msg.startswith('DATABASES["default"]: is to hold tasks, and DATABASE_ROUTERS')


SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "tasks.sqlite3"}
WAL = {"init_command": "PRAGMA synchronous=NORMAL; pragma journal_mode = wal;"}
IMMEDIATE = {"transaction_mode": "IMMEDIATE"}


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "WAL (readers and writers wait for each other) and IMMEDIATE transactions"),
        (WAL, "without IMMEDIATE transactions"),
        (IMMEDIATE, "without WAL"),
        ({**WAL, **IMMEDIATE}, None),
    ],
    ids=["neither", "WAL", "IMMEDIATE", "both"],
)
def test_sqlite_that_is_not_made_for_many_is_a_warning(
    configured, settings, options: dict[str, Any], missing: str | None
) -> None:
    settings.DEBUG = False
    configured(courier(BACKEND=DATABASE, OPTIONS={"using": "tasks"}))
    with bare_database("tasks", **SQLITE, OPTIONS=options):
        messages = found()
    warnings = [] if missing is None else [("task_helpers.W002", False)]
    assert [(m.id, m.is_serious()) for m in messages] == warnings
    assert all(missing in m.msg and '"transaction_mode": "IMMEDIATE"' in m.hint for m in messages)


def test_while_developing_any_sqlite_will_do(configured, settings) -> None:
    settings.DEBUG = True
    configured(courier(BACKEND=DATABASE, OPTIONS={"using": "tasks"}))
    with bare_database("tasks", **SQLITE):
        assert found() == []


def test_a_database_without_autocommit_is_an_error(configured, settings) -> None:
    settings.DEBUG = True
    configured(courier(BACKEND=DATABASE, OPTIONS={"using": "tasks"}))
    with bare_database("tasks", **SQLITE, AUTOCOMMIT=False):
        [message] = found()
    assert (message.id, message.is_serious()) == ("task_helpers.E016", True)
    assert message.msg == 'DATABASES["tasks"]: is to hold tasks, and has no autocommit'
    assert message.hint == 'leave "AUTOCOMMIT" out.'


@pytest.fixture
def asked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """These tests open connections, to databases of their own."""
    with django_db_blocker.unblock():
        yield


@pytest.mark.usefixtures("asked")
def test_a_database_that_may_be_asked_is(configured, settings, tmp_path) -> None:
    # given a file without WAL
    settings.DEBUG = False
    configured(courier(BACKEND=DATABASE, OPTIONS={"using": "tasks"}))
    with bare_database("tasks", **{**SQLITE, "NAME": str(tmp_path / "tasks.sqlite3")}):
        # when it is asked, then the answer is a warning
        [message] = check_databases(databases=["default", "tasks"])
        assert (message.id, message.is_serious()) == ("task_helpers.W004", False)
        assert message.msg.startswith("Database 'tasks' is SQLite without WAL")
        # and whoever starts a worker there is told the same
        assert couriers["default"].get_store_concerns() == [message.msg]
        # and without leave nobody asks it
        assert check_databases() == []


@pytest.mark.usefixtures("asked")
def test_a_server_that_cannot_skip_locked_rows_is_a_warning(mariadb, monkeypatch) -> None:
    with mariadb.database() as url, bare_database("tasks", **environment.database(url)):
        # given a server of today
        assert list(concerns_of(connections["tasks"])) == []
        # when it is as old as some that Django takes
        features = connections["tasks"].features
        monkeypatch.setattr(features, "has_select_for_update_skip_locked", False)
        # then it is said
        [concern] = concerns_of(connections["tasks"])
        assert "'tasks' has no SKIP LOCKED, so workers wait for each other: use Maria" in concern


def test_a_courier_for_clients_is_no_error_where_no_worker_is(configured) -> None:
    configured({"COURIERS": {"default": {"BACKEND": MEMORY}, "other": {"BACKEND": CLIENT}}})
    assert found() == []


def test_the_checks_run_with_those_of_django(configured) -> None:
    configured([])
    assert [m.id for m in run_checks() if m.id.startswith("task_helpers")] == ["task_helpers.E001"]


def test_beside_django_channels_there_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    # given an app of that name
    monkeypatch.setattr(apps, "is_installed", lambda name: name == "channels")
    # when the project is checked
    [message] = found()
    # then the other name of the command is recommended
    assert (message.id, message.is_serious()) == ("task_helpers.W001", False)
    assert "runtaskworker" in message.hint
