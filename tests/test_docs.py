"""The README and the pages below docs/ hold: what they show runs, what they name exists."""

from __future__ import annotations

import ast
import collections
import dataclasses
import datetime
import doctest
import enum
import inspect
import json
import re
import shlex
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.core.management.base import BaseCommand

from django_task_helpers import conf
from django_task_helpers.management.commands.runworker import Command
from task_helpers import exceptions, testing
from task_helpers.couriers import base as couriers
from task_helpers.couriers._client_flows import AddOptions
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.options import CourierOptions
from task_helpers.serializers import MsgpackSerializer
from task_helpers.tasks import TaskStatus
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.classic import ClassicWorker
from tests.support.docs import ROOT, Page, expected_output, page, pages
from tests.support.docs_processes import run, running

README = page("README.md")
EVERY_PAGE = pytest.mark.parametrize("page", pages(), ids=repr)

# --- Links and fences


@EVERY_PAGE
def test_links_lead_somewhere(page: Page) -> None:
    for target in page.links:
        if not target.startswith(("http://", "https://")):
            path, _, anchor = target.partition("#")
            found = (page.path.parent / path).resolve() if path else page.path
            assert found.exists(), f"{page} links to {target}"
            assert not anchor or anchor in Page(found).anchors, f"{page} links to {target}"


@EVERY_PAGE
def test_python_compiles(page: Page) -> None:
    for fence in page.fences:
        if fence.info.startswith("python"):
            assert fence.info in {"python", "python no-run"}
            compile("\n" * (fence.line - 1) + fence.code, str(page.path), "exec")


def test_readme_shows_no_command_that_nobody_tried() -> None:
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    tried = {f"make {target}" for target in targets} | {"pip install .", WORKER_COMMAND}
    shown = {fence.code.strip() for fence in README.fences if fence.info == "bash"}
    assert shown <= tried
    assert set(re.findall(r"`(make [^`]+)`", README.prose)) <= tried


# --- The README as a user follows it

WORKER_COMMAND = "python manage.py runworker bulk_data_saving"
CLASSIC_COMMAND = "python manage.py runworker reports"
CALLERS = 20

CALL_THE_VIEW = f"""
import concurrent.futures, json, django
django.setup()
from django.test import RequestFactory
from shop.views import create_product

def create(name):
    request = RequestFactory().post("/products/", {{"name": name, "price": "12.45"}})
    response = create_product(request)
    return [name, response.status_code, json.loads(response.content)]

with concurrent.futures.ThreadPoolExecutor({CALLERS}) as pool:
    print(json.dumps(list(pool.map(create, map(str, range({CALLERS}))))))
"""


def readme_file(name: str, redis_url: str) -> str:
    """The fences that say they are this file, with the address of the test's Redis."""
    code = "\n".join(fence.code for fence in README.fences if fence.file == name)
    assert code, f"the README has no {name}"
    code = code.replace("redis://localhost:6379/0", redis_url)
    return code.replace("redis.Redis()", f"redis.Redis.from_url({redis_url!r})")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Path:
    """A new project with what the README says, migrated."""
    folder = tmp_path_factory.mktemp("site")
    run(["python", "-m", "django", "startproject", "mysite", "."], folder)
    run(["python", "manage.py", "startapp", "shop"], folder)
    with (folder / "mysite/settings.py").open("a") as settings:
        settings.write(readme_file("mysite/settings.py", redis_url))
    for name in ("models", "workers", "views", "tasks"):
        path = f"shop/{name}.py"
        (folder / path).write_text(readme_file(path, redis_url))
    run(["python", "manage.py", "makemigrations", "shop"], folder)
    run(["python", "manage.py", "migrate"], folder)
    return folder


def test_each_request_of_the_readme_gets_its_own_row(site: Path) -> None:
    assert f"```bash\n{WORKER_COMMAND}\n```" in README.text
    with running(shlex.split(WORKER_COMMAND), site) as worker:
        worker.wait_for_output("on queue bulk_data_saving starts")
        answers = json.loads(
            run(["python", "-c", CALL_THE_VIEW], site, DJANGO_SETTINGS_MODULE="mysite.settings")
        )
        assert worker.terminate() == 0, worker.output
        assert f"stopped (SIGTERM): {CALLERS} tasks" in worker.output

    with sqlite3.connect(site / "db.sqlite3") as database:
        rows = dict(database.execute("SELECT name, id FROM shop_product"))
    assert len(rows) == CALLERS
    for name, status, product in answers:
        assert (status, product) == (201, {"id": rows[name], "name": name})


def test_a_function_of_the_readme_is_called(site: Path, redis_url: str) -> None:
    assert f"`{CLASSIC_COMMAND}`" in README.prose
    code = readme_file("anywhere in the project", redis_url)
    program = f"import django; django.setup()\n{code}\nprint(report)"
    with running(shlex.split(CLASSIC_COMMAND), site) as worker:
        worker.wait_for_output("on queue reports starts")
        said = run(["python", "-c", program], site, DJANGO_SETTINGS_MODULE="mysite.settings")
    assert said == "the report of 2026-11\n"


def test_the_plain_programs_of_the_readme_find_each_other(tmp_path: Path, redis_url: str) -> None:
    for name in ("client.py", "worker.py"):
        (tmp_path / name).write_text(readme_file(name, redis_url))
    with running(["python", "worker.py"], tmp_path):
        said = run(["python", "client.py"], tmp_path)
    uuid = r"UUID\('[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'\)"
    promised = expected_output(readme_file("client.py", redis_url))
    assert re.fullmatch(re.escape(promised).replace(r"UUID\('\.\.\.'\)", uuid), said)


# --- The programs of the other pages

BEFORE = (
    "import django, unittest; django.setup(); "
    "from django.core.management import call_command; call_command('migrate', verbosity=0); "
    "from django.test.utils import setup_test_environment; setup_test_environment()\n"
)
"""On the line of the page's title, so that line numbers are those of the page."""

AFTER = """
[test() for name, test in list(globals().items()) if name.startswith("test_")]
if "TestCase" in globals():
    unittest.main(verbosity=0)
"""


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.path != README.path and page.program()], ids=repr
)
def test_programs_run_and_print_what_they_say(
    page: Page, tmp_path: Path, redis_url: str, prefix: str
) -> None:
    """All fences of a page in one process, which has the settings of the example project."""
    program = page.program().replace("redis.Redis()", f"redis.Redis.from_url({redis_url!r})")
    (tmp_path / "page.py").write_text(BEFORE + program.removeprefix("\n") + AFTER)
    said = run(
        ["python", "page.py"],
        tmp_path,
        DJANGO_SETTINGS_MODULE="config.settings",
        PYTHONPATH=f"{ROOT}:{ROOT / 'testproject'}",
        REDIS_URL=redis_url,
        TASK_PREFIX=prefix,
        DATABASE_URL="sqlite:///:memory:",
    )
    promised = expected_output(program)
    assert doctest.OutputChecker().check_output(promised, said, doctest.ELLIPSIS), said


# --- The tables say what the code says

COURIERS = page("docs/reference/couriers.md")
WORKERS = page("docs/reference/workers.md")
DJANGO = page("docs/reference/django.md")


def defaults(page: Page, heading: str) -> dict[str, Any]:
    """By name the literal in the second column."""
    rows = page.table(heading)
    return {row[0].strip("`"): ast.literal_eval(row[1].strip("`")) for row in rows}


def public_methods(kind: type, *without: type) -> set[str]:
    inherited = {name for base in without for name in dir(base)}
    members = inspect.getmembers(kind, inspect.isfunction)
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
    fields = {name: getattr(BaseWorker, name) for name in inspect.get_annotations(BaseWorker)}
    assert defaults(WORKERS, "BaseWorker") == fields
    changed = {name for name in vars(ClassicWorker) if name[0] != "_"} - public_methods(BaseWorker)
    assert WORKERS.names("ClassicWorker") == changed
    assert f"`{ClassicWorker.max_tasks_per_iteration}`" == WORKERS.table("ClassicWorker")[0][1]


def test_methods_of_workers() -> None:
    shown = WORKERS.names("BaseWorker", 2) | WORKERS.names("BaseWorker", 3)
    assert shown == public_methods(BaseWorker)


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


def test_settings() -> None:
    reader = inspect.getsource(conf._Reader.read)
    known = {key: set(ast.literal_eval(keys)) for key, keys in _KEYS.findall(reader)}
    assert DJANGO.names("TASK_HELPERS") == known["COURIERS"]
    assert DJANGO.names("TASK_HELPERS", 2) == known["QUEUES"]


_KEYS = re.compile(r'"(\w+)", (\{.*?\})')


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
    assert states.names("Statuses") == {status.name for status in TaskStatus}
    ends = {kind.__name__ for kind in exceptions.PerformTaskError.__subclasses__()}
    assert states.names("Ends") == ends | {"PerformTaskError"}
