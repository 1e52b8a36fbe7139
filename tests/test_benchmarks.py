"""benchmarks/bench.py as `make bench` calls it, at a scale that says nothing about speed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.servers import redis_server

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SECONDS = 120
SHORT = ("--quick", "--rounds", "1", "--scale", "0.01")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "bench.py"), *arguments],
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
    ended = bench(*SHORT, "--workload", "1,2,3,4,5,6,7,8,9", "--json", str(file))
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
    held = {figure["name"] for outcome in run["volumes"] for figure in outcome["figures"]}
    assert held >= {"bytes a queued task", "connections of them all"}


def test_requests_to_the_example_shop_are_measured(module: Any, redis_url: str) -> None:
    [workload] = [each for each in module("workloads").WORKLOADS if each.program == "requests"]
    measured = module("website").measure("gunicorn", redis_url, workload.scaled(0.02))
    assert measured.error == ""
    assert measured.figures["requests"] == 10
    assert 1 <= measured.figures["inserts"] <= 10
    assert 0 < measured.figures["p50_ms"] <= measured.figures["p95_ms"]


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
            results.add("add_singly", system, measurement)
    [verdict] = results.verdicts(workloads.WORKLOADS[:1])
    assert (verdict.value, verdict.held) == (rate / 1_000, held)


def test_what_was_not_measured_holds_no_floor(module: Any) -> None:
    results = module("report").Results()
    [verdict] = results.verdicts(module("workloads").WORKLOADS[:1])
    assert not verdict.held
    assert str(verdict) == "workload 1: not measured, promised ≥ 0.85 × raw"


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
