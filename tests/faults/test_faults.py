"""The fault families at a scale that a test run can bear; `make faults` runs them in full."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.faults.families import NAMES, run_family
from tests.faults.report import Outcome, table
from tests.support.requirements import missing

SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))

SIDE_BY_SIDE = 2
"""Because most of the time is waiting; in processes, as each has clocks and logs of its own."""


def run(name: str, seed: int) -> Outcome | str:
    """In words what is missing: a skip does not get from one process to another."""
    try:
        return run_family(name, seed, full=False)
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        return str(error)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Outcome | str]]]:
    """Of the families that this run is about."""
    ours = [item for item in request.session.items if item.path == request.path]
    names = [item.callspec.params["name"] for item in ours]
    pool = ProcessPoolExecutor(SIDE_BY_SIDE, get_context("spawn"), max_tasks_per_child=1)
    try:
        yield {name: pool.submit(run, name, SEED) for name in names}
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_promise_is_kept(name: str, outcomes: dict[str, Future[Outcome | str]]) -> None:
    outcome = outcomes[name].result()
    if isinstance(outcome, str):
        missing(outcome)
    assert outcome.kept, f"FAULTS_SEED={SEED}\n{table(outcome)}"
