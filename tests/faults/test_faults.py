"""The fault families at a scale that a test run can bear; `make faults` runs them in full."""

from __future__ import annotations

import os
import random

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.faults.families import NAMES, run_family
from tests.faults.report import table

SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))


@pytest.mark.usefixtures("django_db_setup")
@pytest.mark.parametrize("name", NAMES)
def test_every_promise_is_kept(name: str, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        outcome = run_family(name, SEED, full=False)
    assert outcome.kept, f"FAULTS_SEED={SEED}\n{table(outcome)}"
