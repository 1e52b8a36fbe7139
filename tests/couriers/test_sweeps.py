"""Of all who wait in a process one at a time looks for all, however long that takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from task_helpers.couriers import _lookout as module
from task_helpers.couriers._awaited import Awaited
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.parcels import Looked
from task_helpers.exceptions import CourierUnavailable
from tests.support.scripted import Driver, ScriptedStore

Q, TASK = "sweeps", b"0123456789abcdef"


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.0)


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


@pytest.fixture
def looking(store: ScriptedStore) -> Iterator[Driver]:
    """One who waits has been told to look, and the store does not answer yet."""
    with Awaited(store, Wire(CourierOptions()), Q, [TASK]) as awaited:  # type: ignore[arg-type]
        assert store.lookout.claims_sweep()
        driver = Driver(awaited.collect(None)).reply(None)
        assert driver.asked.name == "look"
        yield driver


def test_nobody_else_looks_meanwhile(store: ScriptedStore, looking: Driver) -> None:
    assert not store.lookout.claims_sweep()
    assert not store.lookout.claims_sweep(early=True)


def test_hints_that_may_be_lost_wait_for_its_end(store: ScriptedStore, looking: Driver) -> None:
    store.lookout.hurry()
    assert not store.lookout.claims_sweep()
    looking.reply(Looked({}, []))
    assert store.lookout.claims_sweep()


def test_the_next_look_follows_one_that_failed(store: ScriptedStore, looking: Driver) -> None:
    with pytest.raises(CourierUnavailable):
        looking.fail(CourierUnavailable("away"))
    assert store.lookout.claims_sweep()


def test_a_look_that_hangs_is_not_awaited_for_ever(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HUNG_SECONDS", 0.0)
    assert store.lookout.claims_sweep()
    assert store.lookout.claims_sweep()
