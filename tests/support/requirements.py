"""What a test needs and does not find."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(complaint: str) -> NoReturn:
    """Skips the test at home, and fails it in CI, which is to try everything."""
    if os.environ.get("CI") == "true":
        pytest.fail(complaint)
    pytest.skip(complaint)
