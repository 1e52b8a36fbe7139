from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import task_helpers
from task_helpers import registry as registry_module
from task_helpers.exceptions import InvalidFunction, UnknownFunction
from task_helpers.registry import Registry, task_function


def report(month: str) -> str:
    return f"report of {month}"


def other() -> None: ...


class Reports:
    @staticmethod
    def monthly() -> str:
        return "monthly"

    def yearly(self) -> str:
        return "yearly"


class Callables:
    def __call__(self) -> int:
        return 1


class UnhashableCallable(Callables):
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]


REPORT = f"{__name__}.report"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry in the place of the default one."""
    fresh = Registry()
    monkeypatch.setattr(registry_module, "registry", fresh)
    return fresh


# --- The decorator


def test_bare_decorator_registers_and_returns_the_function(registry: Registry) -> None:
    assert task_function(report) is report
    assert registry.get(REPORT) is report
    assert registry.name_of(report) == REPORT
    assert report("May") == "report of May"


def test_decorator_with_a_name(registry: Registry) -> None:
    @task_function(name="shop.report")
    def nested() -> int:
        return 5

    assert nested() == 5
    assert registry.get("shop.report") is nested
    assert registry.name_of(nested) == "shop.report"


def test_decorator_is_offered_by_the_package() -> None:
    assert task_helpers.task_function is task_function


def test_name_given_without_its_keyword_is_explained(registry: Registry) -> None:
    with pytest.raises(InvalidFunction, match=r"'shop\.report' is not a function: write @task_fun"):
        task_function("shop.report")  # type: ignore[type-var]


# --- Names


def test_methods_and_classes_have_names(registry: Registry) -> None:
    reports = Reports()
    assert registry.register(Reports.monthly) == f"{__name__}.Reports.monthly"
    assert registry.register(reports.yearly) == f"{__name__}.Reports.yearly"
    assert registry.register(Reports) == f"{__name__}.Reports"
    # A bound method is another object each time it is asked for.
    assert registry.name_of(reports.yearly) == f"{__name__}.Reports.yearly"


def local_function() -> Callable[..., Any]:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    "function",
    [lambda: None, local_function(), functools.partial(report, "May"), Callables()],
    ids=["lambda", "nested", "partial", "instance"],
)
def test_function_without_a_name_of_its_own_needs_one(
    registry: Registry, function: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidFunction, match=r"give it one with @task_function\(name=\.\.\.\)$"):
        registry.register(function)
    assert registry.names() == []
    # when it is given one, all is well
    assert registry.register(function, "shop.it") == "shop.it"
    assert registry.register(function, "shop.it") == "shop.it"
    assert registry.get("shop.it") is function
    assert registry.name_of(function) == "shop.it"


@pytest.mark.parametrize("name", ["", 5, b"name"])
def test_name_is_a_str(registry: Registry, name: Any) -> None:
    with pytest.raises(InvalidFunction, match="the name of a task function is a str"):
        registry.register(report, name)


def test_not_a_function_is_refused_under_any_name(registry: Registry) -> None:
    for name in (None, "shop.five"):
        with pytest.raises(InvalidFunction, match="5 is not a function"):
            registry.register(5, name)  # type: ignore[arg-type]


def test_function_that_cannot_be_looked_up_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidFunction, match="is not hashable"):
        registry.register(UnhashableCallable(), "shop.it")
    assert registry.names() == []


def test_taken_name_names_both(registry: Registry) -> None:
    registry.register(report, "shop.report")
    with pytest.raises(InvalidFunction) as caught:
        registry.register(other, "shop.report")
    assert str(caught.value) == (
        f"the task function name 'shop.report' of {__name__}.other is taken by "
        f"{__name__}.report: give one of them another name"
    )
    assert registry.get("shop.report") is report


def test_two_partials_never_share_a_name(registry: Registry) -> None:
    registry.register(functools.partial(report, "May"), "shop.it")
    with pytest.raises(InvalidFunction, match="is taken by"):
        registry.register(functools.partial(report, "June"), "shop.it")


def test_one_function_may_have_two_names(registry: Registry) -> None:
    registry.register(report)
    registry.register(report, "shop.report")
    assert registry.get(REPORT) is registry.get("shop.report") is report
    assert registry.names() == sorted([REPORT, "shop.report"])
    assert registry.name_of(report) == "shop.report"


# --- Reload


@pytest.fixture
def reloadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path / "reloadable_tasks.py"
    sys.modules.pop("reloadable_tasks", None)


def test_reload_replaces_the_function(registry: Registry, reloadable: Path) -> None:
    # given a module of tasks, imported
    source = "from task_helpers import task_function\n\n@task_function\ndef f(): return {}\n"
    reloadable.write_text(source.format(1))
    module = importlib.import_module("reloadable_tasks")
    former = module.f
    # when it is changed and imported again
    reloadable.write_text("\n\n" + source.format(2))
    importlib.reload(module)
    # then the name means the new function, and whoever still holds the old one may pass it
    assert registry.get("reloadable_tasks.f")() == 2
    assert registry.name_of(module.f) == registry.name_of(former) == "reloadable_tasks.f"
    assert registry.names() == ["reloadable_tasks.f"]


# --- Looking up


def test_function_that_is_not_registered(registry: Registry) -> None:
    with pytest.raises(UnknownFunction) as caught:
        registry.name_of(report)
    assert str(caught.value) == (
        f"function {__name__}.report is not registered: decorate it with @task_function"
    )


@pytest.mark.parametrize(
    "function", [None, 5, [], {}, UnhashableCallable(), functools.partial(other)]
)
def test_what_is_no_function_is_not_registered(registry: Registry, function: Any) -> None:
    with pytest.raises(UnknownFunction, match="is not registered"):
        registry.name_of(function)


def test_name_passes_through(registry: Registry) -> None:
    assert registry.name_of("elsewhere.function") == "elsewhere.function"


def test_unknown_name_lists_what_is_near(registry: Registry) -> None:
    registry.register(report, "shop.tasks.build_report")
    registry.register(other, "mail.send")
    with pytest.raises(UnknownFunction) as caught:
        registry.get("shop.tasks.build_reports")
    assert str(caught.value) == (
        "function 'shop.tasks.build_reports' is not registered "
        "(similar: shop.tasks.build_report): "
        "is the worker running the same code, and is the module imported?"
    )


def test_unknown_name_with_nothing_near(registry: Registry) -> None:
    with pytest.raises(UnknownFunction) as caught:
        registry.get("os.system")
    assert str(caught.value) == (
        "function 'os.system' is not registered: "
        "is the worker running the same code, and is the module imported?"
    )


def test_a_path_in_a_message_is_never_imported(registry: Registry, reloadable: Path) -> None:
    reloadable.write_text("raise AssertionError('imported')")
    for name in ("reloadable_tasks.f", "reloadable_tasks", "reloadable_tasks:f"):
        with pytest.raises(UnknownFunction):
            registry.get(name)
    assert "reloadable_tasks" not in sys.modules


@pytest.mark.parametrize("name", [None, 5, [], {"a": 1}, b"os.system", "x" * 1_000_000, "a\nb"])
def test_any_value_of_a_message_is_a_short_line(registry: Registry, name: Any) -> None:
    registry.register(report)
    with pytest.raises(UnknownFunction) as caught:
        registry.get(name)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_names_are_sorted(registry: Registry) -> None:
    for name in ("b", "c", "a"):
        registry.register(report, name)
    assert registry.names() == ["a", "b", "c"]


def test_registries_are_apart(registry: Registry) -> None:
    Registry().register(report)
    assert registry.names() == []


def test_threads_register_and_list_at_once(registry: Registry) -> None:
    # given threads that register while others list the names
    errors: list[BaseException] = []
    start = threading.Barrier(16)

    def work(number: int) -> None:
        try:
            start.wait()
            for index in range(200):
                registry.register(report, f"n{number}.{index}")
                registry.names()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then nobody failed and every name is there
    assert errors == []
    assert len(registry.names()) == 16 * 200
