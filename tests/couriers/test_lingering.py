"""When a batch has filled, and when to look again. No clock runs here."""

from __future__ import annotations

import pytest

from task_helpers.couriers._lingering import LONGEST_PAUSE, LOOKS, SHORTEST_PAUSE, Lingering
from task_helpers.couriers.parcels import Line

MADE = 1_000_000


def lingering(linger: float = 0.8) -> Lingering:
    return Lingering(10, linger)


def line(length: int = 1, age: float = 0, made_at: int = MADE) -> Line:
    return Line(length, made_at, made_at + round(age * 1000))


@pytest.mark.parametrize("length", [0, 10, 11])
def test_nothing_and_enough_are_not_waited_for(length: int) -> None:
    assert lingering().pause(line(length), 5) == 0


@pytest.mark.parametrize("age", [0.8, 0.801, 3600])
def test_whoever_waited_that_long_waits_no_more(age: float) -> None:
    assert lingering().pause(line(age=age), 5) == 0


def test_suspects_wait_for_nobody() -> None:
    assert lingering().pause(Line(1, 0, MADE), 5) == 0


def test_the_last_pause_ends_with_the_linger() -> None:
    assert lingering().pause(line(age=0.75), 5) == pytest.approx(0.05)


def test_it_looks_a_few_times_per_linger_and_ends_with_it() -> None:
    batch, moment, looks = lingering(0.8), 5.0, 0
    while pause := batch.pause(line(age=moment - 5), moment):
        looks, moment = looks + 1, moment + pause
    assert looks <= LOOKS + 1
    assert moment == pytest.approx(5.8)


@pytest.mark.parametrize(("linger", "pause"), [(60, LONGEST_PAUSE), (0.002, SHORTEST_PAUSE)])
def test_it_neither_spins_nor_sleeps_through_a_stop(linger: float, pause: float) -> None:
    assert lingering(linger).pause(line(), 5) == pause


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_a_clock_that_is_wrong_makes_nobody_linger_longer(skew: float) -> None:
    """The client's clock is an hour ahead: its ids come from the future; or an hour behind."""
    batch, moment = lingering(0.8), 5.0
    while pause := batch.pause(line(age=skew + moment - 5), moment):
        moment += pause
    assert moment == pytest.approx(5.8 if skew < 0 else 5)


def test_when_others_take_the_oldest_the_next_one_lingers_for_itself() -> None:
    batch = lingering(0.8)
    batch.pause(line(age=0.7), 5)
    younger = line(age=0.5, made_at=MADE + 500)
    assert batch.pause(younger, 5.05) == pytest.approx(0.1)
    assert batch.pause(younger, 5.3) == pytest.approx(0.05)


def test_there_is_an_end_however_often_others_take_the_oldest() -> None:
    batch = lingering(0.8)
    batch.pause(line(), 5)
    assert batch.pause(line(made_at=MADE + 1), 5.75) == pytest.approx(0.05)
    assert batch.pause(line(made_at=MADE + 2), 5.8) == 0


@pytest.mark.parametrize("length", [0, 10])
def test_after_a_batch_the_next_one_may_fill_as_long(length: int) -> None:
    batch = lingering(0.8)
    batch.pause(line(), 5)
    batch.pause(line(length), 5.1)
    assert batch.pause(line(), 9) == pytest.approx(0.1)
