"""The tables of the pages below docs/ say what the code says."""

from __future__ import annotations

import ast
import collections
import dataclasses
import datetime
import enum
import inspect
import re
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.core.management.base import BaseCommand

from django_task_helpers import conf, models, views
from django_task_helpers.bulk import BulkCreateWorker, BulkGetWorker, BulkUpdateWorker
from django_task_helpers.bulk.rows import RowsWorker
from django_task_helpers.management.commands.runworker import Command
from django_task_helpers.models.rows import Row
from task_helpers import exceptions, testing
from task_helpers.couriers import base as couriers
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.options import AddOptions, CourierOptions
from task_helpers.serializers import MsgpackSerializer
from task_helpers.tasks import TaskStatus
from task_helpers.workers._fields import WorkerFields
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.classic import ClassicWorker
from task_helpers.workers.threaded import ThreadedWorker
from tests.support.docs import ROOT, Page, page, pages

COURIERS = page("docs/reference/couriers.md")
WORKERS = page("docs/reference/workers.md")
BULK = page("docs/reference/bulk.md")
DJANGO = page("docs/reference/django.md")


def evaluated(text: str) -> Any:
    """A literal, or a tuple of built-in exception types."""
    return eval(text, {"__builtins__": {"Exception": Exception}})


def defaults(page: Page, heading: str) -> dict[str, Any]:
    """By name the literal in the second column."""
    rows = page.table(heading)
    return {row[0].strip("`"): evaluated(row[1].strip("`")) for row in rows}


def public_methods(kind: type, *without: type) -> set[str]:
    inherited = {name for base in without for name in dir(base)}
    members = inspect.getmembers(kind, inspect.isroutine)
    return {name for name, _ in members if not name.startswith("_")} - inherited


def source_of(package: str) -> str:
    return "\n".join(path.read_text() for path in (ROOT / package).rglob("*.py"))


def test_options_of_couriers() -> None:
    options = [field for field in dataclasses.fields(CourierOptions) if field.init]
    assert defaults(COURIERS, "Options") == {field.name: field.default for field in options}


@pytest.mark.parametrize(
    ("heading", "methods"),
    [
        ("Both sides", public_methods(couriers.TaskCourier)),
        (
            "The client's side",
            public_methods(couriers.ClientTaskCourier, couriers.TaskCourier),
        ),
        (
            "The worker's side",
            public_methods(couriers.WorkerTaskCourier, couriers.TaskCourier),
        ),
    ],
)
def test_methods_of_couriers(heading: str, methods: set[str]) -> None:
    assert COURIERS.names(heading) == methods


def test_signatures_of_couriers() -> None:
    """Names and defaults of the arguments are those of the code; only **options may differ."""
    for heading in ("Both sides", "The client's side", "The worker's side"):
        for shown, _ in COURIERS.table(heading):
            name, arguments = re.fullmatch(r"`(\w+)\((.*)\)`", shown).groups()  # type: ignore[union-attr]
            signature = inspect.signature(getattr(couriers.ClientWorkerTaskCourier, name))
            parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
            real = str(inspect.Signature(parameters[1:]))
            assert f"({arguments})" == real.replace("**options", "**how")


def test_ways_to_add() -> None:
    names = COURIERS.table("The client's side", 2)
    assert {row[0].strip("`") for row in names} == AddOptions.__annotations__.keys()


def test_errors() -> None:
    errors = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass)]
    shown = {row[0]: row[1] for row in COURIERS.table("Errors")}
    assert shown == {
        f"`{kind.__name__}`": ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
        for kind in errors
    }
    attributes = {row[0].strip("`") for row in COURIERS.table("Errors", 2)}
    assert attributes == vars(exceptions.PerformTaskError()).keys()


def test_helpers_for_tests() -> None:
    functions = inspect.getmembers(testing, inspect.isfunction)
    public = {name for name, f in functions if f.__module__ == testing.__name__ and name[0] != "_"}
    assert COURIERS.names("Helpers for tests") == public


def test_fields_of_workers() -> None:
    fields = {name: getattr(BaseWorker, name) for name in inspect.get_annotations(WorkerFields)}
    assert defaults(WORKERS, "BaseWorker") == fields
    ours = {**vars(ThreadedWorker), **vars(ClassicWorker)}
    changed = {name for name in ours if name[0] != "_"} - public_methods(BaseWorker)
    assert WORKERS.names("ClassicWorker") == changed - {"destroy_thread", "perform_coroutine"}
    assert f"`{ClassicWorker.max_tasks_per_iteration}`" == WORKERS.table("ClassicWorker")[0][1]


def test_methods_of_workers() -> None:
    shown = WORKERS.names("BaseWorker", 2) | WORKERS.names("BaseWorker", 3)
    assert shown == public_methods(BaseWorker)


def test_fields_of_bulk_workers() -> None:
    assert BULK.names("All of them") == fields_of(RowsWorker)
    assert BULK.names("All of them", 2) == public_methods(RowsWorker, BaseWorker)
    for kind in (BulkCreateWorker, BulkUpdateWorker, BulkGetWorker):
        rows = BULK.table(kind.__name__)
        shown = {row[0].strip("`"): evaluated(row[1].strip("`")) for row in rows}
        assert shown == {name: getattr(kind, name) for name in fields_of(kind)}
    for kind in (BulkCreateWorker, BulkUpdateWorker):
        assert BULK.names(kind.__name__, 2) == public_methods(kind, RowsWorker)


def fields_of(kind: type) -> set[str]:
    """Those that it has or sets itself."""
    own = {name for name, value in vars(kind).items() if not callable(value) and name[0] != "_"}
    return own | inspect.get_annotations(kind).keys()


def test_what_goes_in_comes_out_as_the_table_says() -> None:
    color = enum.IntEnum("Color", ["RED"])
    point = collections.namedtuple("Point", ["x", "y"])
    known = {"Color": color, "Point": point, **vars(datetime), **vars(collections)}
    known |= {"Decimal": Decimal, "UUID": UUID, "ZoneInfo": ZoneInfo}
    serializer = MsgpackSerializer()
    for row in WORKERS.table("Serializers"):
        given, expected = (eval(cell.split("`")[1], known) for cell in row)
        returned = serializer.loads(serializer.dumps(given))
        assert repr(returned) == repr(expected)
        assert type(returned) is type(expected)


def test_checks() -> None:
    raised = set(re.findall(r"\b[EW]\d{3}\b", source_of("django_task_helpers")))
    assert DJANGO.names("Checks") == {f"task_helpers.{number}" for number in raised}


def test_options_of_runworker() -> None:
    parser = Command().create_parser("manage.py", "runworker")
    inherited = BaseCommand().create_parser("manage.py", "any")
    options = {word for action in parser._actions for word in action.option_strings}
    options -= {word for action in inherited._actions for word in action.option_strings}
    assert DJANGO.names("runworker") == options


@pytest.mark.parametrize("page", pages(), ids=repr)
def test_command_lines_of_runworker(page: Page) -> None:
    parser = Command().create_parser("manage.py", "runworker")
    for words in re.findall(r"manage\.py run(?:task)?worker ([\w .-]+)", page.text):
        parser.parse_args(words.split())


def test_settings() -> None:
    """The keys that the reader of the setting allows."""
    reader = inspect.getsource(conf._Reader.read)
    found = re.findall(r'"(\w+)", (\{.*?\})', reader)
    known = {key: set(ast.literal_eval(keys)) for key, keys in found}
    assert DJANGO.names("TASK_HELPERS") == known["COURIERS"]
    assert DJANGO.names("TASK_HELPERS", 2) == known["QUEUES"]


def test_loggers() -> None:
    source = source_of("task_helpers") + source_of("django_task_helpers")
    assert DJANGO.names("Loggers") == set(re.findall(r'getLogger\("(.*?)"\)', source))


def test_keys_in_redis() -> None:
    keys = QueueKeys("", "")
    named = {key for key in vars(keys).values() if isinstance(key, bytes)}
    suffixes = {key.removeprefix(b":{}:").decode() for key in named}
    shown = page("docs/explanation/redis-keys.md").names("Keys")
    assert {name.partition("<")[0] for name in shown} == suffixes


def test_states_and_ends() -> None:
    states = page("docs/explanation/states.md")
    assert states.names("Statuses") == {name for name in vars(TaskStatus) if name.isupper()}
    ends = {kind.__name__ for kind in exceptions.PerformTaskError.__subclasses__()}
    assert states.names("Ends") == ends | {"PerformTaskError"}


def test_arguments_of_the_result_view() -> None:
    fields = vars(views.TaskResultView).items()
    plain = (str, int, type(None))
    settable = {name for name, value in fields if name[0] != "_" and isinstance(value, plain)}
    assert DJANGO.names("TaskResultView", 2) == settable


def test_permissions_of_the_admin() -> None:
    named = set(re.findall(r"[`.](\w+)_queue`", DJANGO.prose))
    assert named == set(models.Queue._meta.default_permissions)


def test_tables_of_the_database_courier() -> None:
    tables = {model._meta.db_table for model in Row.__subclasses__()}
    assert page("docs/explanation/database-tables.md").names("The tables in the database") == tables


@pytest.mark.parametrize(
    ("package", "table", "column"), [("task_helpers", 1, 1), ("django_task_helpers", 2, 0)]
)
def test_map_of_the_code(package: str, table: int, column: int) -> None:
    """Every module is on the map, itself or a folder that it is in, and nothing else is."""
    cells = [row[column] for row in page("docs/design.md").table("The map of the code", table)]
    paths = [path for cell in cells for path in re.findall(r"`(.+?)`", cell)]
    named = {path.rstrip("/").rpartition("/")[2] for path in paths}
    files = (path.relative_to(ROOT / package) for path in (ROOT / package).rglob("*.py"))
    modules = [path.with_suffix("").parts for path in files if path.stem != "__init__"]
    assert not [module for module in modules if not named & set(module)]
    assert named <= {part for module in modules for part in module} | {"migrations"}
