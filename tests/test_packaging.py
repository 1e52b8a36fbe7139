"""The wheel holds every file the packages need, and works where the source tree is not."""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.new_site import PACKAGES, copy_of_checkout

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run `command` in `cwd`, without the source tree on its path, and return what it printed."""
    base = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=base | (env or {}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is made from: a build leaves its products beside its sources."""
    return copy_of_checkout(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A package of another name must stay out of it.
    (source / "testproject").mkdir()
    (source / "testproject" / "__init__.py").touch()
    # As a release does it: the source distribution first, the wheel from that.
    options = ["--no-isolation", "--outdir", str(folder)]
    run(sys.executable, "-m", "build", *options, cwd=source)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing in it but the installed wheel."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    run(sys.executable, "-m", "pip", "install", *options, wheel, cwd=folder.parent)
    return folder


def test_the_wheel_holds_every_file_of_both_packages_and_nothing_else(
    source: Path, wheel: Path
) -> None:
    # given the files in the tree: modules, Lua scripts, templates, static files, py.typed
    expected = {
        str(path.relative_to(source))
        for name in PACKAGES
        for path in (source / name).rglob("*")
        if path.is_file()
    }
    # when the wheel is listed
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    # then it holds exactly these
    assert packed == expected


def test_both_packages_are_marked_as_typed(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


def test_the_metadata_is_that_of_setup_cfg(wheel: Path) -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    version = config["metadata"]["version"]
    prefix = f"django_task_helpers-{version}.dist-info"
    with ZipFile(wheel) as archive:
        metadata = HeaderParser().parsestr(archive.read(f"{prefix}/METADATA").decode())
        licenses = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert metadata["Name"] == "django-task-helpers"
    assert metadata["Version"] == version
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == ">=3.11"
    assert len(licenses) == 1


# Both programs get the folder of the installed wheel as their only argument.

IMPORT_PLAIN = """
import importlib, pathlib, pkgutil, sys
folder = sys.argv[1]
sys.path.insert(0, folder)
sys.modules["django"] = None  # an import of it fails
import task_helpers
assert pathlib.Path(task_helpers.__file__).is_relative_to(folder), task_helpers.__file__
for module in pkgutil.walk_packages(task_helpers.__path__, "task_helpers."):
    importlib.import_module(module.name)
    print(module.name)
"""

IMPORT_DJANGO = """
import importlib, pathlib, pkgutil, sys
folder = sys.argv[1]
sys.path.insert(0, folder)
import django
from django.conf import settings
apps = ["admin", "auth", "contenttypes", "messages", "sessions", "staticfiles"]
settings.configure(
    INSTALLED_APPS=[*(f"django.contrib.{app}" for app in apps), "django_task_helpers"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    STATIC_URL="static/",
)
django.setup()
import django_task_helpers
from django.contrib.staticfiles import finders
from django.template.loader import get_template
root = pathlib.Path(django_task_helpers.__file__).parent
assert root.is_relative_to(folder), root
for module in pkgutil.walk_packages(django_task_helpers.__path__, "django_task_helpers."):
    importlib.import_module(module.name)
    print(module.name)
for path in (root / "templates").rglob("*.*"):
    origin = get_template(str(path.relative_to(root / "templates"))).origin.name
    assert origin == str(path), origin
for path in (root / "static").rglob("*.*"):
    assert finders.find(str(path.relative_to(root / "static"))) == str(path), path
"""


def module_names(source: Path, package: str) -> set[str]:
    paths = (path.relative_to(source) for path in (source / package).rglob("*.py"))
    parts = (path.with_suffix("").parts for path in paths)
    names = {".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts}
    return names - {package}


@pytest.mark.parametrize(
    ("package", "program"), [("task_helpers", IMPORT_PLAIN), ("django_task_helpers", IMPORT_DJANGO)]
)
def test_every_module_imports_from_the_installed_wheel(
    source: Path, installed: Path, tmp_path: Path, package: str, program: str
) -> None:
    # given the wheel installed alone, when each module of the package is imported from there
    env = {"DJANGO_SETTINGS_MODULE": ""}
    printed = run(sys.executable, "-c", program, installed, cwd=tmp_path, env=env)
    # then no file was missing (task_helpers does without Django) and none was passed over
    assert set(printed.split()) == module_names(source, package)
