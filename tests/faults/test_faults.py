"""The fault families at a scale that a test run can bear; `make faults` runs them in full."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.families import NAMES, run_family
from tests.faults.report import table

SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))


@pytest.mark.parametrize("name", NAMES)
def test_every_promise_is_kept(name: str) -> None:
    outcome = run_family(name, SEED, full=False)
    assert outcome.kept, f"FAULTS_SEED={SEED}\n{table(outcome)}"
