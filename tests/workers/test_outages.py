"""How long a loop waits for a store that is away, and what it says of it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from task_helpers.exceptions import CourierError, CourierUnavailable
from task_helpers.workers import _outages
from task_helpers.workers._held import Held
from task_helpers.workers._leases import LeaseKeeper
from task_helpers.workers._outages import Outage, ReturnOutage

LEASE = 30.0


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(_outages, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_results_wait_for_a_store_that_is_away_as_long_as_it_takes(now: list[float]) -> None:
    outage = ReturnOutage(3, int(LEASE * 1000))
    now[0] = 100 * LEASE
    assert outage.met(CourierUnavailable("away")) == _outages.PAUSE


@pytest.mark.parametrize(
    ("error", "stopping"), [(CourierUnavailable("away"), True), (CourierError("refused"), False)]
)
def test_for_a_lease_when_it_is_told_to_stop_or_refused(
    now: list[float], error: CourierError, stopping: bool
) -> None:
    outage = ReturnOutage(3, int(LEASE * 1000))
    now[0] = LEASE
    assert outage.met(error, stopping) == _outages.PAUSE
    now[0] = LEASE + 0.1
    with pytest.raises(type(error)):
        outage.met(error, stopping)


@pytest.mark.parametrize("outage", [Outage(), ReturnOutage(3, 30_000)], ids=["take", "return"])
def test_that_it_is_over_is_said_once(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    outage.is_over()
    assert not caplog.messages
    outage.met(CourierUnavailable("no answer"))
    outage.is_over()
    outage.is_over()
    assert caplog.messages[1:] == [f"The store is back for process {os.getpid()}."]


@pytest.mark.parametrize("outage", [Outage(), ReturnOutage(3, 30_000)], ids=["take", "return"])
def test_an_outage_is_said_once_a_minute(
    outage: Outage, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    # given a store that is away for more than a minute, and refuses for a moment
    for moment in (0, 0.5, 1, 59, 61, 61.5):
        now[0] = moment
        outage.met(CourierUnavailable("no answer"))
    outage.met(CourierError("WRONGTYPE"))
    # then what is news is said, by whom
    first, second, refused = caplog.messages
    assert first == second
    assert f"rocess {os.getpid()} waits for the store" in first
    assert "WRONGTYPE" in refused
    # and the next outage is news again
    outage.is_over()
    outage.met(CourierUnavailable("no answer"))
    assert caplog.messages[-1] == first


def test_only_a_lease_that_is_held_can_miss_its_renewal(
    courier: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given a store that is away
    def away(*_: Any) -> None:
        raise CourierUnavailable("no answer")

    monkeypatch.setattr(courier, "renew_leases", away)
    held, batch = Held(), [UUID(int=1)]
    keeper = LeaseKeeper(courier, "work", "name", held)
    # when an idle worker only reports that it lives, then nothing is said of leases
    keeper.step()
    assert not caplog.messages
    # and when it holds a batch, then its lease is
    held.begins(batch)
    keeper.step()
    assert caplog.messages == ["The lease on queue work was not renewed: no answer"]
