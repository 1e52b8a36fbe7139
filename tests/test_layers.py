"""Who may import whom in both packages, and how long their code may be, by reading the source.

A module imports only from lower floors, or from a neighbour in its own folder where PEERS says so.
Imports inside functions count like all others; imports under `if TYPE_CHECKING:` keep to the floors
too, but cannot make a cycle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("task_helpers", "django_task_helpers")
MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 350


class Floor(IntEnum):
    WORDS = 0  # errors, value types, codecs: no I/O, no queue
    EFFECTS = 1  # what a flow may ask for, and who runs it
    FLOWS = 2  # the Store interface and every operation once, without I/O
    FACES = 3  # what users call
    STORES = 4  # one protocol each, below the courier that uses it
    COURIERS = 5  # face + store
    WORKERS = 6  # loops over a courier's face
    TOOLS = 7  # supervision and test helpers
    PUBLIC = 8  # what `from task_helpers import ...` offers; nothing inside imports it

    TABLES = 10
    SETTINGS = 11
    ROWS = 12  # the store in a database
    MAKING = 13  # settings -> one courier
    ALIASES = 14  # the couriers and workers of a project
    SITE = 15  # checks, admin, views
    ENTRY = 16  # the app's configuration and the commands


# A name is that module alone, "folder.*" everything in the folder that has no entry of its own.
FLOORS: dict[str, Floor] = {
    "task_helpers.exceptions": Floor.WORDS,
    "task_helpers.counts": Floor.WORDS,
    "task_helpers.durations": Floor.WORDS,
    "task_helpers.ids": Floor.WORDS,
    "task_helpers.plurals": Floor.WORDS,
    "task_helpers.tasks": Floor.WORDS,
    "task_helpers.exit_codes": Floor.WORDS,
    "task_helpers.time_limits": Floor.WORDS,
    "task_helpers.progress": Floor.WORDS,
    "task_helpers.envelopes": Floor.WORDS,
    "task_helpers._wire_types": Floor.WORDS,
    "task_helpers._unfit": Floor.WORDS,
    "task_helpers.serializers": Floor.WORDS,
    "task_helpers.registry": Floor.WORDS,
    "task_helpers.retries": Floor.WORDS,
    "task_helpers.outcomes": Floor.WORDS,
    "task_helpers.effects": Floor.EFFECTS,
    "task_helpers.forks": Floor.WORDS,
    "task_helpers.couriers.parcels": Floor.FLOWS,
    "task_helpers.couriers.stats": Floor.FLOWS,
    "task_helpers.couriers.store": Floor.FLOWS,
    "task_helpers.couriers.queues": Floor.FLOWS,
    "task_helpers.couriers.options": Floor.FLOWS,
    "task_helpers.couriers._attributes": Floor.FLOWS,
    "task_helpers.couriers._claims": Floor.FLOWS,
    "task_helpers.couriers._wire": Floor.FLOWS,
    "task_helpers.couriers._door": Floor.FLOWS,
    "task_helpers.couriers._lookout": Floor.FLOWS,
    "task_helpers.couriers._awaited": Floor.FLOWS,
    "task_helpers.couriers._chunks": Floor.FLOWS,
    "task_helpers.couriers._drain": Floor.FLOWS,
    "task_helpers.couriers._leading": Floor.FLOWS,
    "task_helpers.couriers._loops": Floor.FLOWS,
    "task_helpers.couriers._outages": Floor.FLOWS,
    "task_helpers.couriers.backends": Floor.FLOWS,
    "task_helpers.couriers._lingering": Floor.FLOWS,
    "task_helpers.couriers._preparing": Floor.FLOWS,
    "task_helpers.couriers._client_flows": Floor.FLOWS,
    "task_helpers.couriers._worker_side": Floor.FLOWS,
    "task_helpers.couriers._taking_flows": Floor.FLOWS,
    "task_helpers.couriers._returning_flows": Floor.FLOWS,
    "task_helpers.couriers._worker_flows": Floor.FLOWS,
    "task_helpers.couriers._upkeep_flows": Floor.FLOWS,
    "task_helpers.couriers._common": Floor.FACES,
    "task_helpers.couriers._loop_waiters": Floor.FLOWS,
    "task_helpers.couriers.base": Floor.FACES,
    "task_helpers.couriers.base_async": Floor.FACES,
    "task_helpers.couriers._redis.*": Floor.STORES,
    "task_helpers.couriers._memory.*": Floor.STORES,
    "task_helpers.couriers.redis": Floor.COURIERS,
    "task_helpers.couriers.memory": Floor.COURIERS,
    "task_helpers.couriers.redis_async": Floor.COURIERS,
    "task_helpers.couriers.memory_async": Floor.COURIERS,
    "task_helpers.workers._execution": Floor.WORKERS,
    "task_helpers.workers._failures": Floor.WORKERS,
    "task_helpers.workers._fields": Floor.WORKERS,
    "task_helpers.workers._names": Floor.WORKERS,
    "task_helpers.workers._shift": Floor.WORKERS,
    "task_helpers.workers._held": Floor.WORKERS,
    "task_helpers.workers._leases": Floor.WORKERS,
    "task_helpers.workers._outages": Floor.WORKERS,
    "task_helpers.workers._crew": Floor.WORKERS,
    "task_helpers.workers._calls": Floor.WORKERS,
    "task_helpers.workers._coroutines": Floor.WORKERS,
    "task_helpers.workers._threads": Floor.WORKERS,
    "task_helpers.workers._interruptions": Floor.WORKERS,
    "task_helpers.workers._last_words": Floor.WORKERS,
    "task_helpers.workers._watchdog": Floor.WORKERS,
    "task_helpers.workers.threaded": Floor.WORKERS,
    "task_helpers.workers._memory": Floor.WORKERS,
    "task_helpers.workers._pacing": Floor.WORKERS,
    "task_helpers.workers._progress": Floor.WORKERS,
    "task_helpers.workers.context": Floor.WORKERS,
    "task_helpers.workers._splitting": Floor.WORKERS,
    "task_helpers.workers.base": Floor.WORKERS,
    "task_helpers.workers.classic": Floor.WORKERS,
    "task_helpers.workers.base_async": Floor.WORKERS,
    "task_helpers.workers.classic_async": Floor.WORKERS,
    "task_helpers.supervision.*": Floor.TOOLS,
    "task_helpers.testing": Floor.TOOLS,
    "task_helpers": Floor.PUBLIC,
    "django_task_helpers.conf": Floor.SETTINGS,
    "django_task_helpers._discovery": Floor.SETTINGS,
    "django_task_helpers.models": Floor.SETTINGS,
    "django_task_helpers.models.*": Floor.TABLES,
    "django_task_helpers.couriers._database.*": Floor.ROWS,
    "django_task_helpers.migrations.*": Floor.SETTINGS,
    "django_task_helpers.couriers.*": Floor.MAKING,
    "django_task_helpers.couriers": Floor.ALIASES,
    "django_task_helpers._databases": Floor.MAKING,
    "django_task_helpers.bulk.*": Floor.MAKING,
    "django_task_helpers.bulk": Floor.ALIASES,
    "django_task_helpers.workers": Floor.ALIASES,
    "django_task_helpers": Floor.SITE,
    "django_task_helpers.checks": Floor.SITE,
    "django_task_helpers._database_checks": Floor.SITE,
    "django_task_helpers.admin": Floor.ENTRY,
    "django_task_helpers.admin.*": Floor.SITE,
    "django_task_helpers.views": Floor.SITE,
    "django_task_helpers.middleware": Floor.SITE,
    "django_task_helpers.apps": Floor.ENTRY,
    "django_task_helpers.management.*": Floor.ENTRY,
}

# Folders whose modules may import a neighbour on the same floor.
PEERS = {
    "task_helpers",
    "task_helpers.couriers",
    "task_helpers.couriers._redis",
    "task_helpers.couriers._memory",
    "task_helpers.workers",
    "task_helpers.supervision",
    "django_task_helpers",
    "django_task_helpers.admin",
    "django_task_helpers.bulk",
    "django_task_helpers.couriers",
    "django_task_helpers.couriers._database",
    "django_task_helpers.management.commands",
    "django_task_helpers.models",
}

# Everything but the concrete couriers is free of Redis, everything but one package free of Django.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "redis": (
        "task_helpers.couriers.redis",
        "task_helpers.couriers.redis_async",
        "task_helpers.couriers._redis.*",
        "django_task_helpers.couriers.building",
    ),
    "django_redis": ("django_task_helpers.*",),
    "django": ("django_task_helpers", "django_task_helpers.*"),
}

# Workers are handed a courier: they know its face and no backend.
NEVER: dict[str, tuple[Floor, ...]] = {
    "task_helpers.workers.*": (Floor.STORES, Floor.COURIERS),
}


@dataclass(frozen=True)
class Import:
    """`target` is a module, `name` what `from target import name` takes out of it."""

    line: int
    target: str
    name: str = ""
    typing_only: bool = False


def matches(module: str, pattern: str) -> bool:
    return module == pattern or (pattern.endswith(".*") and module.startswith(pattern[:-1]))


def floor_of(module: str) -> Floor | None:
    fitting = [pattern for pattern in FLOORS if matches(module, pattern)]
    return FLOORS[max(fitting, key=len)] if fitting else None


def folder_of(module: str) -> str:
    return module.rpartition(".")[0]


class Tree:
    """The modules of PACKAGES under `root` and what each of them imports."""

    def __init__(self, root: Path) -> None:
        self.paths = dict(self._find_modules(root))
        self.sources = {module: path.read_text() for module, path in self.paths.items()}
        self.syntax = {module: ast.parse(source) for module, source in self.sources.items()}
        self.imports = {module: list(self._imports_of(module)) for module in self.paths}

    @staticmethod
    def _find_modules(root: Path) -> Iterator[tuple[str, Path]]:
        for package in PACKAGES:
            for path in sorted((root / package).rglob("*.py")):
                parts = path.relative_to(root).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path

    def _imports_of(self, module: str) -> Iterator[Import]:
        typing_only = {
            id(inner)
            for node in ast.walk(self.syntax[module])
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for statement in node.body
            for inner in ast.walk(statement)
        }
        for node in ast.walk(self.syntax[module]):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(node.lineno, alias.name, "", id(node) in typing_only)
            elif isinstance(node, ast.ImportFrom):
                base = self._base_of(module, node)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    target, name = (inner, "") if inner in self.paths else (base, alias.name)
                    yield Import(node.lineno, target, name, id(node) in typing_only)

    def _base_of(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = module if self.paths[module].name == "__init__.py" else folder_of(module)
        parts = package.split(".")[: len(package.split(".")) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])


def violations(tree: Tree) -> list[str]:
    return [
        *missing_floors(tree),
        *(
            f"{tree.paths[module]}:{found.line}: {problem}"
            for module, imports in tree.imports.items()
            for found in imports
            for problem in problems_of(tree, module, found)
        ),
        *cycles(tree),
    ]


def missing_floors(tree: Tree) -> Iterator[str]:
    for module, imports in tree.imports.items():
        if floor_of(module) is None and (imports or tree.paths[module].name != "__init__.py"):
            yield f"{module} has no floor: add it to FLOORS in tests/test_layers.py"


def problems_of(tree: Tree, module: str, found: Import) -> Iterator[str]:
    package, imported = module.split(".")[0], found.target.split(".")[0]
    allowed = ONLY_IN.get(imported)
    if allowed is not None and not any(matches(module, pattern) for pattern in allowed):
        yield f"{module} imports {found.target}, allowed only in {', '.join(allowed)}"
    if imported not in PACKAGES:
        return
    if imported == package:
        yield from floor_problems(module, found.target)
        return
    if package == "task_helpers":
        yield f"{module} imports {found.target}: task_helpers knows no Django"
    if any(part.startswith("_") for part in [*found.target.split("."), found.name]):
        yield f"{module} imports {found.target} {found.name}: private to {imported}".replace(
            " :", ":"
        )


def floor_problems(module: str, target: str) -> Iterator[str]:
    mine, theirs = floor_of(module), floor_of(target)
    if mine is None or theirs is None:
        return
    peers = folder_of(module) == folder_of(target) and folder_of(module) in PEERS
    if theirs > mine or (theirs == mine and not peers):
        yield f"{module} ({mine.name}) imports {target} ({theirs.name}), which is not below it"
    for pattern, floors in NEVER.items():
        if matches(module, pattern) and theirs in floors:
            yield f"{module} imports {target}: {pattern} never imports {theirs.name}"


def cycles(tree: Tree) -> Iterator[str]:
    graph = {
        module: {found.target for found in imports if not found.typing_only} & tree.paths.keys()
        for module, imports in tree.imports.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "import cycle: " + " <- ".join(error.args[1])


def too_long(tree: Tree) -> Iterator[str]:
    for module, source in tree.sources.items():
        lines = source.count("\n")
        if lines > MAX_FILE_LINES:
            yield f"{tree.paths[module]} has {lines} lines, over {MAX_FILE_LINES}"
        for node in ast.walk(tree.syntax[module]):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = body_lines(node)
                if length > MAX_FUNCTION_LINES:
                    place = f"{tree.paths[module]}:{node.lineno}"
                    yield f"{place}: {node.name} has {length} lines, over {MAX_FUNCTION_LINES}"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its signature and its docstring."""
    has_docstring = ast.get_docstring(function, clean=False) is not None
    body = function.body[1:] if has_docstring else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


# The packages themselves.


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(ROOT)


def test_imports_keep_to_the_floors(tree: Tree) -> None:
    found = violations(tree)
    assert not found, "\n" + "\n".join(found)


def test_every_row_of_the_table_has_a_module(tree: Tree) -> None:
    stale = [row for row in FLOORS if not any(matches(module, row) for module in tree.paths)]
    assert not stale, "remove from FLOORS"


def test_functions_and_files_are_short(tree: Tree) -> None:
    found = list(too_long(tree))
    assert not found, "\n" + "\n".join(found)


# The checker itself, on trees made to offend it.


def make_tree(root: Path, files: dict[str, str]) -> Tree:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        for folder in path.relative_to(root).parents[:-1]:
            (root / folder / "__init__.py").touch()
    return Tree(root)


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("task_helpers/newcomer.py", "", "task_helpers.newcomer has no floor"),
        (
            "task_helpers/tasks.py",
            "from task_helpers.couriers.base import TaskCourier",
            "tasks (WORDS) imports task_helpers.couriers.base (FACES)",
        ),
        (
            "task_helpers/tasks.py",
            "def lazily():\n    from .couriers import base",
            "tasks.py:2: task_helpers.tasks (WORDS) imports task_helpers.couriers.base",
        ),
        (
            "task_helpers/couriers/_redis/store.py",
            "import task_helpers.couriers._memory.store",
            "which is not below it",
        ),
        (
            "task_helpers/couriers/base.py",
            "from task_helpers import task_function",
            "imports task_helpers (PUBLIC)",
        ),
        (
            "task_helpers/workers/base.py",
            "from task_helpers.couriers.redis import RedisWorkerTaskCourier",
            "never imports COURIERS",
        ),
        ("task_helpers/workers/base.py", "import redis", "imports redis, allowed only in"),
        ("task_helpers/tasks.py", "import django.conf", "imports django.conf, allowed only in"),
        ("task_helpers/tasks.py", "import django_task_helpers", "knows no Django"),
        (
            "django_task_helpers/conf.py",
            "from task_helpers.couriers import _claims",
            "imports task_helpers.couriers._claims: private to task_helpers",
        ),
        (
            "django_task_helpers/conf.py",
            "from task_helpers.tasks import _secret",
            "imports task_helpers.tasks _secret: private to task_helpers",
        ),
    ],
)
def test_a_forbidden_import_is_named(
    tmp_path: Path, name: str, source: str, complaint: str
) -> None:
    # given a tree in which the modules imported exist
    files = {"task_helpers/couriers/base.py": "", "task_helpers/couriers/_claims.py": ""}
    # when one of its modules breaks a rule
    found = violations(make_tree(tmp_path, files | {name: source}))
    # then the only complaint says so
    assert len(found) == 1, found
    assert complaint in found[0]


CYCLE = {
    "task_helpers/tasks.py": "def lazily():\n    from task_helpers import envelopes",
    "task_helpers/envelopes.py": "import task_helpers.tasks",
}


def test_a_cycle_through_a_lazy_import_is_found(tmp_path: Path) -> None:
    [found] = violations(make_tree(tmp_path, CYCLE))
    assert found.startswith("import cycle: ")


def test_an_import_for_typing_makes_no_cycle_but_its_else_branch_does(tmp_path: Path) -> None:
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import envelopes\n"
    assert violations(make_tree(tmp_path, CYCLE | {"task_helpers/tasks.py": typed})) == []
    real = typed + "else:\n    from . import envelopes\n"
    [found] = violations(make_tree(tmp_path, CYCLE | {"task_helpers/tasks.py": real}))
    assert found.startswith("import cycle: ")


def test_length_leaves_out_the_docstring(tmp_path: Path) -> None:
    # given functions of 41 and 40 statements with long docstrings, in a file of 351 lines
    docstring = '    """' + "\n" * 50 + '    """\n'
    functions = f"def long():\n{docstring}" + "    pass\n" * 41
    functions += f"def short():\n{docstring}" + "    pass\n" * 40
    source = functions + "\n" * (351 - functions.count("\n"))
    # when their lengths are checked
    found = list(too_long(make_tree(tmp_path, {"task_helpers/tasks.py": source})))
    # then the long one and the file are named
    assert [line.partition("tasks.py")[2] for line in found] == [
        " has 351 lines, over 350",
        ":1: long has 41 lines, over 40",
    ]
