"""What the README and the pages below docs/ show runs, and their links lead somewhere."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.support.docs import ROOT, Page, expected_output, page, pages
from tests.support.docs_processes import run, running
from tests.support.new_site import copy_of_checkout, in_project, run_in_shell
from tests.support.servers import RedisServer, free_port
from tests.support.waiting import wait_until

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
    assert page.text.count("```") == 2 * len(page.fences), f"{page} has an indented fence"
    for fence in page.fences:
        if fence.info.startswith("python"):
            assert fence.info in {"python", "python no-run"}
            compile("\n" * (fence.line - 1) + fence.code, str(page.path), "exec")


def test_readme_shows_no_command_that_nobody_tried() -> None:
    targets = re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    makes = {f"make {target}" for target in targets}
    assert [line for line in readme_commands() if line not in makes] == [
        *SITE_COMMANDS,
        *TABLE_COMMANDS,
        WORKER_COMMAND,
        *SERVER_COMMANDS,
        *(line for line in readme_commands() if line.startswith("curl ")),
    ]
    assert set(re.findall(r"`(make [^`]+)`", README.prose)) <= makes


# --- The README as a user follows it

SITE_COMMANDS = [
    "python3 -m venv ../mysite/.venv",
    ". ../mysite/.venv/bin/activate",
    "pip install .",
    "cd ../mysite",
    "django-admin startproject mysite .",
    "python manage.py startapp shop",
]
TABLE_COMMANDS = ["python manage.py makemigrations shop", "python manage.py migrate"]
WORKER_COMMAND = "python manage.py runworker bulk_data_saving"
SERVER_COMMANDS = [". .venv/bin/activate", "python manage.py runserver"]
CLASSIC_COMMAND = "python manage.py runworker reports"
CALLERS = 20

CALL_THE_VIEW = f"""
import concurrent.futures, json
from django.test import RequestFactory
from shop.views import create_product

def create(name):
    request = RequestFactory().post("/products/", {{"name": name, "price": "12.45"}})
    response = create_product(request)
    return [name, response.status_code, json.loads(response.content)]

with concurrent.futures.ThreadPoolExecutor({CALLERS} + 1) as pool:
    print(json.dumps(list(pool.map(create, [*map(str, range({CALLERS})), ""]))))
"""
"""One of them without a name."""

REDIS_AWAY = {
    "BACKEND": "task_helpers.couriers.redis.RedisClientWorkerTaskCourier",
    "LOCATION": "redis://127.0.0.1:1/0",
    "OPTIONS": {"retry_seconds": 0},
}
CALL_WITHOUT_A_STORE = f"""
from django.test import RequestFactory
from django.test.utils import override_settings
from shop.views import create_product

with override_settings(TASK_HELPERS={{"COURIERS": {{"default": {REDIS_AWAY}}}}}):
    print(create_product(RequestFactory().post("/products/", {{"name": "tomato"}})).status_code)
"""


def readme_commands() -> list[str]:
    fences = (fence.code for fence in README.fences if fence.info == "bash")
    return [line for code in fences for line in code.splitlines()]


def readme_file(name: str) -> str:
    """The fences that say they are this file."""
    code = "\n".join(fence.code for fence in README.fences if fence.file == name)
    assert code, f"the README has no {name}"
    return code


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private server: an example shop that runs beside the tests works on the same queues."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project with what the README says, installed and migrated, and without a Redis."""
    base = tmp_path_factory.mktemp("site")
    run_in_shell(SITE_COMMANDS, copy_of_checkout(base / "checkout"))
    folder = base / "mysite"
    with (folder / "mysite/settings.py").open("a") as settings:
        settings.write(readme_file("mysite/settings.py"))
    shop = [f"shop/{name}.py" for name in ("models", "workers", "views", "tasks")]
    for path in ("mysite/urls.py", *shop):
        (folder / path).write_text(readme_file(path))
    run_in_shell([SERVER_COMMANDS[0], *TABLE_COMMANDS], folder)
    return folder


def test_each_request_of_the_readme_gets_its_own_row(site: Path) -> None:
    with running(shlex.split(WORKER_COMMAND), site) as worker:
        worker.wait_for_output("on queue bulk_data_saving starts")
        answers = json.loads(in_project(CALL_THE_VIEW, site))
        assert worker.terminate() == 0, worker.output
        assert f"stopped (SIGTERM): {CALLERS + 1} tasks" in worker.output

    with sqlite3.connect(site / "db.sqlite3") as database:
        rows = dict(database.execute("SELECT name, id FROM shop_product"))
    assert len(rows) == CALLERS
    _, status, refused = answers.pop()
    assert (status, refused) == (400, {"error": "{'name': ['This field cannot be blank.']}"})
    for name, status, product in answers:
        assert (status, product) == (201, {"id": rows[name], "name": name})


def test_the_view_of_the_readme_answers_without_a_store(site: Path) -> None:
    assert in_project(CALL_WITHOUT_A_STORE, site) == "503\n"


def test_the_server_of_the_readme_answers_as_it_says(site: Path) -> None:
    # given the worker and the web server, on another port
    port = str(free_port())
    [curl] = [line for line in readme_commands() if line.startswith("curl ")]
    server_command = [*shlex.split(SERVER_COMMANDS[-1]), "--noreload", port]
    with running(shlex.split(WORKER_COMMAND), site), running(server_command, site) as server:
        server.wait_for_output("Quit the server")
        wait_until(lambda: is_open(int(port)))
        # when the client of the README asks
        answer = post(curl.replace(":8000/", f":{port}/"))
    # then it gets what the README says, but for the number of the row
    [promised] = re.findall(r"The answer is `(.*?)`", README.prose)
    assert re.sub(r"\d+", "1", answer, count=1) == promised


def post(curl: str) -> str:
    """What the command line `curl -d name=value ... URL` does."""
    *words, url = shlex.split(curl)
    assert words[1::2] == ["-d"] * len(words[2::2])
    body = urlencode(dict(word.split("=") for word in words[2::2])).encode()
    with urlopen(url, body, timeout=20) as answer:
        return answer.read().decode()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_function_of_the_readme_is_called(site: Path) -> None:
    assert f"`{CLASSIC_COMMAND}`" in README.prose
    code = readme_file("anywhere in the project")
    with running(shlex.split(CLASSIC_COMMAND), site) as worker:
        worker.wait_for_output("on queue reports starts")
        said = in_project(f"{code}\nprint(report)", site)
        assert worker.terminate() == 0, worker.output
    assert said == "the report of 2026-11\n"


def test_the_plain_programs_of_the_readme_find_each_other(tmp_path: Path, redis_url: str) -> None:
    for name in ("client.py", "worker.py"):
        (tmp_path / name).write_text(on_redis(readme_file(name), redis_url))
    with running(["python", "worker.py"], tmp_path) as worker:
        said = run(["python", "client.py"], tmp_path)
        assert worker.terminate(signal.SIGINT) == 0, worker.output
    assert worker.output.splitlines() == re.findall(r'print\("(.*)"\)', readme_file("worker.py"))
    uuid = r"UUID\('[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'\)"
    promised = expected_output(readme_file("client.py"))
    assert re.fullmatch(re.escape(promised).replace(r"UUID\('\.\.\.'\)", uuid), said)


def on_redis(program: str, redis_url: str) -> str:
    """With the address of the test's Redis."""
    return program.replace("redis.Redis()", f"redis.Redis.from_url({redis_url!r})")


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
def test_programs_run_and_print_what_they_say(page: Page, tmp_path: Path, redis_url: str) -> None:
    """All fences of a page in one process, which has the settings of the example project."""
    program = on_redis(page.program(), redis_url)
    (tmp_path / "page.py").write_text(BEFORE + program.removeprefix("\n") + AFTER)
    said = run(
        ["python", "page.py"],
        tmp_path,
        DJANGO_SETTINGS_MODULE="config.settings",
        PYTHONPATH=f"{ROOT}:{ROOT / 'testproject'}",
        REDIS_URL=redis_url,
        DATABASE_URL="sqlite:///:memory:",
    )
    promised = expected_output(program)
    assert doctest.OutputChecker().check_output(promised, said, doctest.ELLIPSIS), said


NO_SWEEPS = """
from task_helpers.couriers import _lookout

_lookout.SWEEP_SECONDS = 60
"""
"""Who watches another database than that of the test waits for longer than its view does."""


@pytest.mark.parametrize("test_name", ["", "test.sqlite3"], ids=["memory", "file"])
def test_the_test_of_a_view_passes_in_pytest(tmp_path: Path, test_name: str) -> None:
    # given a project whose tasks are in a SQLite file, and a test module that imports the courier
    [code] = [f.code for f in page("docs/howto/testing.md").fences if f.file.startswith("shop/")]
    (tmp_path / "real.sqlite3").touch()
    (tmp_path / "test_products.py").write_text(code)
    (tmp_path / "settings.py").write_text(
        f"from config.settings import *\nDATABASES['default']['TEST'] = {{'NAME': {test_name!r}}}"
    )
    (tmp_path / "conftest.py").write_text(NO_SWEEPS)
    # when pytest collects it, and then makes the database of the test
    said = run(
        ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        tmp_path,
        DJANGO_SETTINGS_MODULE="settings",
        PYTHONPATH=f"{tmp_path}:{ROOT}:{ROOT / 'testproject'}",
        DATABASE_URL="sqlite:///real.sqlite3",
        REDIS_URL="",
    )
    # then the view has its result in time
    assert "1 passed" in said
