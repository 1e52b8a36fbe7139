"""What a worker learns from its batches. No clock runs here: the traffic is simulated."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator
from statistics import mean, quantiles

import pytest

from task_helpers.workers._pacing import Cost, Pacing, Plan

PER_TASK, FIXED = 0.001, 0.020
TARGET = 0.2
FITTING = 80
"""Tasks whose batch takes half of the target: 0.001 * 80 + 0.020."""


def took(count: int, per_task: float = PER_TASK, fixed: float = FIXED) -> float:
    return per_task * count + fixed


# --- The cost of a batch


def cost_of(*counts: int, noise: float = 0) -> tuple[float, float]:
    cost, chance = Cost(), random.Random(1)
    for count in counts:
        cost.note(count, took(count) * chance.uniform(1 - noise, 1 + noise))
    return cost.line()


def test_nothing_is_known_before_the_first_batch() -> None:
    assert Cost().line() == (0, 0)


def test_batches_of_different_sizes_tell_both_costs() -> None:
    per_task, fixed = cost_of(*[1, 5, 20, 50] * 5)
    assert per_task == pytest.approx(PER_TASK, rel=0.1)
    assert fixed == pytest.approx(FIXED, rel=0.1)


def test_noise_does_not_hide_them() -> None:
    per_task, fixed = cost_of(*[1, 5, 20, 50] * 10, noise=0.1)
    assert per_task == pytest.approx(PER_TASK, rel=0.3)
    assert fixed == pytest.approx(FIXED, rel=0.3)


@pytest.mark.parametrize("count", [1, 7, 1_000])
def test_batches_of_one_size_cost_by_the_task(count: int) -> None:
    """Nothing tells the costs apart: a larger batch counts as that much longer."""
    per_task, fixed = cost_of(*[count] * 50)
    assert per_task * count == pytest.approx(took(count))
    assert fixed == pytest.approx(0, abs=1e-9)


def test_what_has_changed_is_learnt_anew() -> None:
    cost = Cost()
    for n in (1, 10, 40) * 20:
        cost.note(n, took(n, fixed=5))
    for n in (1, 10, 40) * 40:
        cost.note(n, took(n))
    assert cost.line()[1] == pytest.approx(FIXED, rel=0.2)


@pytest.mark.parametrize(
    ("seconds", "line"),
    [({1: 3.0, 9: 1.0}, (0, 2)), ({1: 0.0, 10: 1.0}, (0.1, 0)), ({5: 0.0}, (0, 0))],
)
def test_no_cost_is_below_nothing(seconds: dict[int, float], line: tuple[float, float]) -> None:
    cost = Cost()
    for _ in range(30):
        for n, duration in seconds.items():
            cost.note(n, duration)
    assert cost.line() == (pytest.approx(line[0], rel=0.1), pytest.approx(line[1], rel=0.1))


# --- Plans


def after(*counts: int, gap: float = 0) -> tuple[Pacing, float]:
    """A worker that did these batches one after the other, so many seconds apart; and when."""
    pacing, moment = Pacing(), 100.0
    for count in counts:
        moment += gap
        pacing.plan(1_000, 100, moment)
        pacing.note(count, moment, moment + took(count))
        moment += took(count)
    return pacing, moment


def test_it_begins_with_one_task_and_doubles() -> None:
    pacing, moment, sizes = Pacing(), 0.0, []
    for _ in range(6):
        sizes.append(pacing.plan(1_000, 10, moment).max_count)
        pacing.note(sizes[-1], moment, moment)
    assert sizes == [1, 2, 4, 8, 16, 32]


def test_a_batch_fits_into_half_of_the_target() -> None:
    pacing, moment = after(*[10, 70, 40] * 10)
    assert pacing.plan(1_000, TARGET, moment).max_count == pytest.approx(FITTING, rel=0.1)
    assert pacing.plan(30, TARGET, moment).max_count == 30


def test_a_target_that_the_fixed_cost_exceeds_still_shares_it() -> None:
    """With single tasks the queue would only grow: half of the time goes to tasks."""
    pacing, moment = after(*[70, 40, 10] * 10)
    assert pacing.plan(1_000, 0.01, moment).max_count == pytest.approx(FIXED / PER_TASK, rel=0.1)


def test_a_full_batch_lets_the_next_be_twice_as_large_whatever_the_target() -> None:
    pacing, moment = after(*[10, 70, 40] * 10)
    full = pacing.plan(1_000, TARGET, moment).max_count
    pacing.note(full, moment, moment + took(full))
    grown = pacing.plan(1_000, TARGET, moment).max_count
    assert grown == 2 * full
    pacing.note(grown - 20, moment, moment + took(grown - 20))
    assert pacing.plan(1_000, TARGET, moment).max_count == grown - 20
    pacing.note(5, moment, moment + took(5))
    assert pacing.plan(1_000, TARGET, moment).max_count == pytest.approx(FITTING, rel=0.1)


def test_single_tasks_that_miss_the_target_do_not_stay_single() -> None:
    """Of batches of one size nobody knows what they would cost together."""
    pacing, moment, sizes = Pacing(), 0.0, []
    for _ in range(6):
        sizes.append(pacing.plan(1_000, 0.01, moment).max_count)
        pacing.note(sizes[-1], moment, moment + took(sizes[-1]))
    assert sizes == [1, 2, 4, 8, 16, 32]


def test_it_lingers_where_more_than_one_task_comes_in_the_time_that_a_batch_costs_anyway() -> None:
    pacing, moment = after(*[4, 8, 6] * 10)
    plan = pacing.plan(1_000, TARGET, moment + FIXED / 4)
    assert plan.linger == pytest.approx(FIXED, rel=0.2)
    assert plan.patience == pytest.approx(plan.linger - FIXED / 4)
    assert pacing.plan(1_000, 0.02, moment).linger == 0.01


def test_it_does_not_linger_after_a_pause() -> None:
    pacing, moment = after(*[4, 8, 6] * 10)
    assert pacing.plan(1_000, TARGET, moment + 2 * FIXED)[1:] == (0, math.inf)


def test_it_does_not_linger_where_few_tasks_come() -> None:
    pacing, moment = after(*[1, 2, 1, 1] * 10, gap=0.2)
    assert pacing.plan(1_000, TARGET, moment)[1:] == (0, math.inf)


# --- Traffic


class Greedy(Pacing):
    """Takes all there is at once, as a worker without `linger` does."""

    def plan(self, max_count: int, target: float, moment: float) -> Plan:
        return Plan(max_count, 0)


class Run:
    """One worker that plans, lingers, takes and performs as `BaseWorker` does."""

    def __init__(
        self,
        arrivals: Iterator[float],
        pacing: Pacing | None = None,
        lingers: bool = True,
        cost: tuple[float, float] = (PER_TASK, FIXED),
    ) -> None:
        self.latencies: list[float] = []
        self.sizes: list[int] = []
        self.pacing = pacing or Pacing()
        chance, queue, moment = random.Random(2), list(arrivals), 0.0
        while queue:
            plan = self.pacing.plan(1_000, TARGET, moment)
            if queue[0] > moment + plan.patience:
                moment += max(plan.patience, 0.001)
                continue
            full = queue[plan.max_count - 1] if len(queue) >= plan.max_count else math.inf
            begun = max(moment, queue[0], min(queue[0] + lingers * plan.linger, full))
            size = bisect_right(queue, begun, hi=min(plan.max_count, len(queue)))
            batch = queue[:size]
            del queue[:size]
            moment = begun + took(size, *cost) * chance.uniform(0.9, 1.1)
            self.pacing.note(size, begun, moment)
            self.latencies += [moment - at for at in batch]
            self.sizes.append(size)

    def settled(self) -> list[float]:
        """Percentiles, from when the sizes were learnt."""
        return quantiles(self.latencies[len(self.latencies) // 5 :], n=100)


def poisson(rate: float, seconds: float, start: float = 0) -> Iterator[float]:
    chance, moment = random.Random(3), start
    while (moment := moment + chance.expovariate(rate)) < start + seconds:
        yield moment


def regular(count: int, gap: float, start: float = 0) -> Iterator[float]:
    yield from (start + n * gap for n in range(count))


def test_a_lone_request_never_waits() -> None:
    run = Run(regular(200, 1.0))
    assert set(run.sizes) == {1}
    assert max(run.latencies) <= 1.1 * took(1) + 1e-9


def test_a_lone_request_after_a_rush_does_not_wait_either() -> None:
    rush = Run(poisson(500, 20))
    alone = Run(regular(20, 0.5, start=100), rush.pacing)
    assert max(alone.latencies) <= 1.1 * took(1) + 1e-9


def test_under_load_batches_grow_and_results_come_in_time() -> None:
    """Single tasks would be performed at 47 a second; 500 come."""
    run = Run(poisson(500, 60))
    settled = run.latencies[len(run.latencies) // 10 :]
    assert mean(run.sizes[20:]) > 10
    assert quantiles(settled, n=100)[98] < TARGET


def test_more_than_it_can_do_is_done_as_fast_as_without_a_target() -> None:
    """None is in time, so that what counts is to get it all done."""
    run, greedy = Run(poisson(3_000, 10)), Run(poisson(3_000, 10), Greedy())
    assert len(run.latencies) == len(greedy.latencies) > 29_000
    assert run.latencies[-1] < 1.05 * greedy.latencies[-1]


def test_batches_do_not_grow_where_that_gets_nothing_more_done() -> None:
    """Of tasks that share nothing, small batches give the first results sooner."""
    run = Run(poisson(300, 30), cost=(0.005, 0))
    assert mean(run.sizes[20:-1]) == pytest.approx(TARGET / 2 / 0.005, rel=0.3)


@pytest.mark.parametrize("load", [0.01, 0.1, 0.3, 0.5, 0.8, 0.87, 0.9])
@pytest.mark.parametrize("cost", [(0.001, 0.02), (0.001, 0.05), (0.0002, 0.02), (0.005, 0.001)])
def test_at_no_load_results_come_later_than_without_it(
    cost: tuple[float, float], load: float
) -> None:
    """A load of 1 is what batches without a fixed cost could do."""
    rate = load / cost[0]
    seconds = max(30, 2_000 / rate)
    learnt = Run(poisson(rate, seconds), cost=cost).settled()
    greedy = Run(poisson(rate, seconds), Greedy(), cost=cost).settled()
    company = cost[1] / 3
    assert learnt[49] < 1.15 * greedy[49] + company
    assert learnt[98] < 1.15 * greedy[98] + company


def test_lingering_makes_fewer_batches_of_moderate_traffic() -> None:
    run, other = Run(poisson(80, 60)), Run(poisson(80, 60), lingers=False)
    assert len(run.sizes) < 0.85 * len(other.sizes)
    assert quantiles(run.latencies, n=100)[98] < TARGET
