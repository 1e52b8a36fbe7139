"""Results that wait for the next take, by hand: none is lost, whatever becomes of that take."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from task_helpers import exceptions, ids
from task_helpers.couriers._worker_flows import WorkerFlows
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.parcels import HandOver, Taken
from task_helpers.envelopes import Header
from tests.support.scripted import Driver, ScriptedStore

Q, OTHER, A = "q", "other", b"a" * 16
OPTIONS = CourierOptions()
NOTHING = Taken({}, 0, None, [])


@pytest.fixture
def worker() -> WorkerFlows:
    """It performed a task, and its result is to go along with the next take."""
    worker = WorkerFlows(ScriptedStore(takes_along=True), OPTIONS)  # type: ignore[arg-type]
    envelope = Header(OPTIONS.codec.codec).pack() + OPTIONS.codec.dumps(1)
    Driver(worker.take(Q, 1)).reply(Taken({A: envelope}, 0, None, []))
    assert Driver(worker.give(Q, [(ids.to_uuid(A), 1)], None, True)).ended
    return worker


def handed_over(worker: WorkerFlows) -> list[Any]:
    """The ids that the store is asked to end before anything else is done."""
    flow = Driver(worker.acknowledge(Q, ()))
    if flow.ended:
        return []
    assert flow.asked.name == "finish"
    task_ids = [task_id for ends in flow.asked.arguments[2] for task_id in ends.ids]
    assert flow.reply(set()).ended
    return task_ids


def along_of(flow: Driver) -> HandOver | None:
    """What the take that waits for its reply takes along."""
    [along] = [each for each in flow.asked.arguments if isinstance(each, HandOver)] or [None]
    return along


def told_of(flow: Driver) -> Any:
    along = along_of(flow)
    assert along
    return along.told


def test_a_take_that_failed_before_it_left_leaves_the_results_owed(worker: WorkerFlows) -> None:
    """Such as by a store that was first asked for its clock."""
    with pytest.raises(exceptions.CourierUnavailable):
        Driver(worker.take(Q, 1)).fail(exceptions.CourierUnavailable("gone"))
    assert handed_over(worker) == [A]
    assert handed_over(worker) == []


def test_a_take_that_is_interrupted_leaves_the_results_owed(worker: WorkerFlows) -> None:
    flow = Driver(worker.take(Q, 1)).fail(KeyboardInterrupt())
    assert flow.asked.name == "release"  # what was taken
    with pytest.raises(KeyboardInterrupt):
        flow.reply(None)
    assert handed_over(worker) == [A]


def test_results_are_owed_once_however_often_it_is_told_that_they_did_not_come(
    worker: WorkerFlows,
) -> None:
    flow = Driver(worker.take(Q, 1))
    told_of(flow)(ConnectionError("broke"))
    with pytest.raises(exceptions.CourierUnavailable):
        flow.fail(exceptions.CourierUnavailable("gone"))
    assert handed_over(worker) == [A]
    assert handed_over(worker) == []


def test_a_take_that_failed_beside_results_that_came_leaves_nothing_owed(
    worker: WorkerFlows,
) -> None:
    flow = Driver(worker.take(Q, 1))
    told_of(flow)(set())
    with pytest.raises(exceptions.CourierError):
        flow.fail(exceptions.CourierError("WRONGTYPE"))
    assert handed_over(worker) == []


def test_they_go_along_with_a_take_from_their_own_queue_alone(worker: WorkerFlows) -> None:
    other = Driver(worker.take(OTHER, 1))
    assert along_of(other) is None
    other.reply(NOTHING)
    assert along_of(Driver(worker.take(Q, 1))) is not None


def test_another_thread_may_hand_them_over_just_before_a_take_would(worker: WorkerFlows) -> None:
    worker._owed = Quicker(worker._owed)
    flow = Driver(worker.take(Q, 1))
    assert flow.asked.name == "take"
    flow.reply(NOTHING)


class Quicker(deque[Any]):
    """Another thread takes its last one between a look and a pop."""

    def popleft(self) -> Any:
        self.clear()
        return super().popleft()


def test_an_error_while_they_are_handed_over_is_raised_whatever_its_type(
    worker: WorkerFlows,
) -> None:
    """Once it was taken for a sign that another thread handed them over, again and again."""
    with pytest.raises(IndexError):
        Driver(worker.acknowledge(Q, ())).fail(IndexError())
    assert handed_over(worker) == [A]
