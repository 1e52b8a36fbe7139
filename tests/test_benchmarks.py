"""benchmarks/bench.py as `make bench` calls it, at a scale that says nothing about speed."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.scripts import SECONDS, Script
from tests.support.servers import redis_server
from tests.support.waiting import wait_until

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SHORT = ("--quick", "--rounds", "1", "--scale", "0.01")


def bench(*arguments: str, command: str = "bench.py") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / command), *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the benchmarks as its processes do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def imported(name: str) -> ModuleType:
        return importlib.import_module(name)

    return imported


@pytest.mark.skipif(not redis_server(), reason="no redis-server is installed")
def test_a_quick_run_measures_every_workload(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    ended = bench(*SHORT, "--workload", "1,2,3,4,5,6,7,8,9,11", "--json", str(file))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run = json.loads(file.read_text())
    assert run["errors"] == []
    assert run["systems"].keys() == {"raw", "ours"}
    assert [workload["number"] for workload in run["workloads"]] == [1, 2, 3, 4, 5, 6, 7]
    for workload in run["workloads"]:
        for system in workload["systems"].values():
            assert 0 < system["least"] <= system["median"] <= system["greatest"]
    threads = run["workloads"][5]["systems"]["ours"]["rounds"][0]
    assert 1 <= threads["connections"] <= 4
    shown = {figure["name"] for outcome in run["volumes"] for figure in outcome["figures"]}
    assert shown >= {"bytes a queued task", "connections of all coroutines"}


def test_the_page_shows_a_run_and_keeps_what_is_around(module: Any, tmp_path: Path) -> None:
    # given a page and a run in which this package misses a floor
    page, file = tmp_path / "page.md", tmp_path / "bench.json"
    begin, end = "<!-- figures -->\n", "<!-- end of figures -->\n"
    page.write_text(f"before\n{begin}old\n{end}after\n")
    systems = {
        "raw": {"median": 1000.0, "least": 900.0, "greatest": 1100.0, "besides": {}},
        "ours": {"median": 500.0, "least": 400.0, "greatest": 600.0, "ratio_to_raw": 0.5},
    }
    floor = {"promise": "≥ 0.85 × raw", "value": 0.5, "held": False}
    workload = {"number": 1, "title": "adding", "unit": "tasks/s", "floors": [floor]}
    about = {"made_at": "2026-11-24T01:02:03", "python": "3.11", "redis": "7.0", "cores": 2}
    run = {
        **about,
        "rounds": 5,
        "load_before": [0.1],
        "load_after": [0.2],
        "systems": {"ours": {"versions": {"redis": "8.1.0"}, "settings": "by default"}},
        "workloads": [{**workload, "systems": systems}],
        "volumes": [],
    }
    file.write_text(json.dumps(run))
    # when
    module("page").main(file, page)
    # then
    text = page.read_text()
    assert text.startswith(f"before\n{begin}")
    assert text.endswith(f"{end}after\n")
    assert "old" not in text
    assert (
        "| 1. adding, tasks/s | 1,000 (900–1,100) | 500 (400–600) | 0.50 × "
        "| ≥ 0.85 × raw (missed) |\n"
    ) in text
    assert "| ours | 500 |\n" in text
    assert "- **ours** (redis 8.1.0): by default\n" in text


def test_requests_to_the_example_shop_are_measured(module: Any, redis_url: str) -> None:
    [workload] = [each for each in module("workloads").WORKLOADS if each.program == "requests"]
    measured = module("website").measure("gunicorn", redis_url, workload.scaled(0.02))
    assert measured.error == ""
    assert measured.figures["requests"] == 10
    assert 1 <= measured.figures["inserts"] <= 10
    assert 0 < measured.figures["p50_ms"] <= measured.figures["p95_ms"]


@pytest.mark.skipif(not redis_server(), reason="no redis-server is installed")
def test_terminated_it_leaves_nothing_behind() -> None:
    # given a run in the middle of a measurement
    script = Script(BENCHMARKS / "bench.py", "--only", "ours", "--workload", "5")
    wait_until(lambda: script.pids("-m client"), SECONDS)
    # when
    script.process.terminate()
    # then
    code, _, _ = script.end()
    assert code == 143
    wait_until(lambda: script.pids() == [])


def test_an_unknown_system_is_named() -> None:
    ended = bench("--only", "ours,theirs")
    assert ended.returncode == 2
    assert "'theirs' is none of raw, ours, celery" in ended.stderr


@pytest.mark.parametrize(("rate", "held"), [(850, True), (840, False)])
def test_a_floor_is_a_ratio_of_medians_to_raw(module: Any, rate: float, held: bool) -> None:
    report, workloads = module("report"), module("workloads")
    results = report.Results()
    for raw, ours in ((1_000, rate), (900, 10), (5_000, 4_000)):
        for system, value in (("raw", raw), ("ours", ours)):
            measurement = module("measuring").Measurement({"rate": value})
            results.add(workloads.WORKLOADS[0], system, measurement)
    [verdict] = results.verdicts(workloads.WORKLOADS[:1])
    assert (verdict.value, verdict.held) == (rate / 1_000, held)


def test_what_was_not_measured_holds_no_floor(module: Any) -> None:
    results = module("report").Results()
    [verdict] = results.verdicts(module("workloads").WORKLOADS[:1])
    assert not verdict.held
    assert str(verdict) == "workload 1: not measured, promised ≥ 0.85 × raw"


@pytest.mark.parametrize(("ours", "held"), [(5_000, True), (4_900, False)])
def test_on_a_database_the_best_peer_is_the_measure(module: Any, ours: float, held: bool) -> None:
    report, workloads = module("report"), module("workloads")
    [workload] = [
        each
        for each in workloads.DATABASE_WORKLOADS
        if (each.number, each.database) == (2, "postgresql")
    ]
    results = report.Results()
    rates = {"ours_on_database": ours, "django_tasks_db": 300.0, "procrastinate": 1_000.0}
    for system, rate in rates.items():
        results.add(workload, system, module("measuring").Measurement({"rate": rate}))
    [verdict] = results.verdicts([workload])
    assert (verdict.value, verdict.held) == (ours / 1_000, held)


@pytest.mark.skipif(not shutil.which("initdb"), reason="no PostgreSQL is installed")
def test_a_run_on_databases_measures_this_package_on_each(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    how = ("--workload", "1,3,5", "--json", str(file))
    ended = bench(*SHORT, *how, command="bench_database.py")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run = json.loads(file.read_text())
    assert run["errors"] == []
    measured = [(each["database"], each["number"]) for each in run["workloads"]]
    assert measured == [(name, n) for name in ("sqlite", "postgresql") for n in (1, 3, 5)]
    for workload in run["workloads"]:
        assert workload["systems"]["ours_on_database"]["median"] > 0


def test_an_answer_of_another_caller_is_noticed(module: Any) -> None:
    programs = module("programs")

    class Confused:
        def call(self, data: dict[str, str]) -> dict[str, str]:
            return {**data, "price": "0.00"}

    run = programs.Run(Confused(), ledger=None, count=2, repeats=1, worker=0, redis=0)
    with pytest.raises(programs.Wrong, match=r"and its own is {'name': 'tomato', 'price': '0.01'}"):
        run.warm_up()


def test_a_task_performed_twice_is_noticed(module: Any, tmp_path: Path) -> None:
    programs = module("programs")
    ledger = module("ledger").Ledger(tmp_path / "ledger")
    run = programs.Run(system=None, ledger=ledger, count=1, repeats=1, worker=1, redis=1, added=2)
    ledger.add(2)
    programs.check_executions(run)
    ledger.add(1)
    with pytest.raises(programs.Wrong, match="3 executions of 2 tasks"):
        programs.check_executions(run)
