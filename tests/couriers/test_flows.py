"""The flows by hand: what they ask for, and what they make of each answer."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest

from task_helpers import exceptions, ids, outcomes
from task_helpers.couriers._awaited import Awaited
from task_helpers.couriers._client_flows import ClientFlows
from task_helpers.couriers._wire import Wire
from task_helpers.couriers._worker_flows import WorkerFlows
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.parcels import Line, Looked, Taken, Way
from task_helpers.effects import Listen, Sleep
from task_helpers.envelopes import Header
from task_helpers.retries import RetryPolicy
from tests.support.scripted import Driver, ScriptedStore, Verb

Q, A, B = "q", b"a" * 16, b"b" * 16
OPTIONS = CourierOptions()
UNFINISHED = Looked({}, [])


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


def success(value: Any) -> bytes:
    return outcomes.start_of_success(OPTIONS.codec) + OPTIONS.codec.dumps(value)


def envelope(data: Any = None, **header: Any) -> bytes:
    return Header(OPTIONS.codec.codec, **header).pack() + OPTIONS.codec.dumps(data)


# --- Waiting for results


def collecting(store: Any, *task_ids: bytes, until: float | None = None) -> Driver:
    awaited = Awaited(store, Wire(OPTIONS), Q, task_ids)
    awaited.__enter__()
    return Driver(awaited.collect(until))


def test_hinted_results_are_taken_and_no_others(store: ScriptedStore) -> None:
    flow = collecting(store, A, B)
    assert isinstance(flow.asked, Listen)
    assert isinstance(flow.reply({A: b"outcome a", b"x" * 16: b"other"}).asked, Listen)
    assert flow.reply({B: b"outcome b"}).result == {A: b"outcome a", B: b"outcome b"}


def test_an_outcome_that_did_not_travel_along_is_asked_for(store: ScriptedStore) -> None:
    flow = collecting(store, A, B).reply({A: b"", B: b"outcome b"})
    assert flow.asked == Verb("look", (Q, [A]))
    assert flow.reply(Looked({A: b"outcome a"}, [])).result == {A: b"outcome a", B: b"outcome b"}


def test_a_look_for_many_stops_where_they_are_unfinished_and_goes_on_in_silence(
    store: ScriptedStore,
) -> None:
    # given somebody who waits for many tasks, of the oldest of which all but one have ended
    ids = [number.to_bytes(16, "big") for number in range(2_500)]
    awaited = Awaited(store, Wire(OPTIONS), Q, ids)
    awaited.__enter__()
    looking = Driver(awaited.look())
    assert looking.asked == Verb("look", (Q, ids[:1000]))
    looking.reply(Looked(dict.fromkeys(ids[:999], b"ended"), []))
    # then it looks for no more of them, but listens: also to what comes from further back
    flow = Driver(awaited.collect(None))
    assert isinstance(flow.asked, Listen)
    assert isinstance(flow.reply(dict.fromkeys(ids[1200:2100], b"hinted")).asked, Listen)
    # when nothing is heard for a moment it goes on with those that are still missing
    assert flow.reply({}).asked == Verb("look", (Q, ids[1000:1200]))
    assert flow.reply(Looked(dict.fromkeys(ids[1000:1200], b"ended"), [])).asked == Verb(
        "look", (Q, ids[2100:])
    )
    # and when it has looked for all it listens for as long as it takes
    assert flow.reply(UNFINISHED).asked == Listen(awaited._waiter, None)


def test_a_hint_for_what_has_not_ended_is_only_a_hint(store: ScriptedStore) -> None:
    flow = collecting(store, A).reply({A: b""}).reply(UNFINISHED)
    assert isinstance(flow.asked, Listen)


def test_what_is_neither_unfinished_nor_ended_is_lost(store: ScriptedStore) -> None:
    found = collecting(store, A).reply({A: b""}).reply(Looked({}, [A])).result
    assert isinstance(Wire(OPTIONS).result_or_error(Q, A, found[A]), exceptions.TaskLost)


def test_a_sweep_looks_for_all_who_wait(store: ScriptedStore) -> None:
    # given two who wait, in two queues
    flow, other = collecting(store, A), store.lookout.register("other", {B: None})
    # when one of them is told to look
    assert flow.reply(None).asked == Verb("look", (Q, [A]))
    assert flow.reply(UNFINISHED).asked == Verb("look", ("other", [B]))
    flow.reply(Looked({B: b"outcome b"}, []))
    # then both have the news, and it goes on
    assert store.lookout.heard(other) == {B: b"outcome b"}
    assert isinstance(flow.asked, Listen)


def test_what_a_sweep_finds_lost_is_made_sure_of_by_whoever_waits(store: ScriptedStore) -> None:
    # given somebody whose task is being added while another one sweeps
    swept = collecting(store, A).reply(None)
    # when the sweep comes too early to see it
    swept.reply(Looked({}, [A]))
    # then it is asked for once more
    [news] = [store.lookout.heard(waiter) for waiter in store.lookout._waiters]
    assert swept.reply(news).asked == Verb("look", (Q, [A]))
    assert isinstance(swept.reply(UNFINISHED).asked, Listen)


def test_when_the_store_is_gone_all_who_wait_are_told(store: ScriptedStore) -> None:
    store.gone = True
    flow, other = collecting(store, A).reply(None), store.lookout.register(Q, {B: None})
    with pytest.raises(exceptions.CourierUnavailable):
        flow.fail(exceptions.CourierUnavailable("gone"))
    with pytest.raises(exceptions.CourierUnavailable):
        store.lookout.heard(other)


def test_a_sweep_that_ended_with_its_own_patience_says_nothing_to_others(
    store: ScriptedStore,
) -> None:
    flow, other = collecting(store, A).reply(None), store.lookout.register(Q, {B: None})
    with pytest.raises(exceptions.CourierUnavailable):
        flow.fail(exceptions.CourierUnavailable("gone"))
    assert store.lookout.heard(other) == {}


def test_time_is_up_between_two_sweeps(store: ScriptedStore) -> None:
    # given somebody who waits for 30 ms
    until = time.monotonic() + 0.03
    flow = collecting(store, A, until=until)
    assert flow.asked.seconds <= 0.03

    def go_on() -> None:
        while True:
            flow.reply({})

    # when nothing comes
    with pytest.raises(TimeoutError, match="is a worker running"):
        go_on()
    # then it ends in time, though no sweep was due
    assert until <= time.monotonic() < until + 0.5


def test_nobody_stays_registered(store: ScriptedStore) -> None:
    client = ClientFlows(store, OPTIONS)  # type: ignore[arg-type]
    flow = Driver(client.wait(Q, [UUID(bytes=A)], True, None, False))
    assert store.lookout
    with pytest.raises(KeyboardInterrupt):
        flow.fail(KeyboardInterrupt())  # type: ignore[arg-type]
    assert not store.lookout


def test_call_listens_before_it_adds(store: ScriptedStore) -> None:
    client = ClientFlows(store, OPTIONS)  # type: ignore[arg-type]
    flow = Driver(client.call(Q, "data", 5)).reply(1_000)
    assert flow.asked.name == "add"
    [(task_id, sealed)] = flow.asked.arguments[1]
    assert list(store.lookout.awaited()[Q]) == [task_id]
    assert sealed == envelope("data", deadline=6_000, channel=store.channel)
    assert isinstance(flow.reply(None).asked, Listen)


def test_a_result_that_was_read_is_returned_though_it_cannot_be_deleted(
    store: ScriptedStore,
) -> None:
    client = ClientFlows(store, OPTIONS)  # type: ignore[arg-type]
    flow = Driver(client.get(Q, UUID(bytes=A), True)).reply([success(7)])
    assert flow.asked == Verb("forget", (Q, [A], False))
    assert flow.fail(exceptions.CourierUnavailable("gone")).result == 7


# --- Taking tasks


@pytest.fixture
def worker(store: ScriptedStore) -> WorkerFlows:
    return WorkerFlows(store, OPTIONS)  # type: ignore[arg-type]


def took(
    *tasks: tuple[bytes, bytes], now: int = 0, due: int | None = None, overdue: Any = ()
) -> Taken:
    return Taken(dict(tasks), now, due, list(overdue))


def test_a_wait_first_asks_then_blocks_no_longer_than_useful(worker: WorkerFlows) -> None:
    flow = Driver(worker.wait(Q, 10, None, 0))
    blocks = [flow.asked.arguments[4]]
    for taken in (took(), took(due=300), took(due=60_000)):
        blocks.append(flow.reply(taken).asked.arguments[4])
    assert blocks == [0, 1.0, 0.3, 1.0]
    assert flow.reply(took((A, envelope(1)))).result == [(UUID(bytes=A), 1)]


def test_every_take_has_a_token_of_its_own(worker: WorkerFlows) -> None:
    flow = Driver(worker.wait(Q, 10, None, 0))
    tokens = {flow.asked.arguments[1], flow.reply(took()).asked.arguments[1]}
    assert {len(token) for token in tokens} == {16}
    assert len(tokens) == 2


def test_lingering_looks_first_and_holds_nothing_meanwhile(worker: WorkerFlows) -> None:
    flow = Driver(worker.wait(Q, 10, None, 0.8))
    assert flow.asked == Verb("line", (Q, 0.0))
    assert flow.reply(Line(3, 1_000, 1_000)).asked == Sleep(0.1)
    assert flow.reply(None).asked == Verb("line", (Q, 0.0))
    assert flow.reply(Line(10, 1_000, 1_100)).asked.name == "take"


def test_it_blocks_for_the_first_task_only(worker: WorkerFlows) -> None:
    flow = Driver(worker.wait(Q, 10, None, 0.8)).reply(Line(0, 0, 1_000)).reply(took())
    assert flow.asked == Verb("line", (Q, 1.0))
    assert flow.reply(Line(1, 1_000, 1_000)).asked == Sleep(0.1)
    assert flow.reply(None).asked == Verb("line", (Q, 0.0))


def test_a_store_that_blocks_a_little_longer_costs_no_linger(worker: WorkerFlows) -> None:
    """Redis ends a BZPOPMIN up to 0.1 s late; a task may come in that time."""
    flow = Driver(worker.wait(Q, 10, 0.01, 0.08)).reply(Line(0, 0, 1_000)).reply(took())
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        pass
    assert flow.reply(Line(1, 1_000, 1_000)).asked == Sleep(0.01)


def test_whoever_is_to_stop_takes_nothing(worker: WorkerFlows) -> None:
    stop = iter([False, True])
    flow = Driver(worker.wait(Q, 10, None, 0.8, stopping=lambda: next(stop)))
    flow.reply(Line(1, 1_000, 1_000))
    with pytest.raises(TimeoutError, match="stopped"):
        flow.reply(None)


def test_an_overdue_batch_is_reclaimed_and_looked_for_at_once(worker: WorkerFlows) -> None:
    flow = Driver(worker.wait(Q, 10, 0, 0)).reply(took(overdue=[b"token"]))
    assert flow.asked == Verb("reclaim", (Q, b"token", 30_000, False))
    assert flow.reply((5, None)).asked.name == "take"
    with pytest.raises(TimeoutError):
        flow.reply(took())


def test_a_convict_is_ended_under_the_lease_it_is_held_by(worker: WorkerFlows) -> None:
    flow = Driver(worker.wait(Q, 10, 0, 0)).reply(took(overdue=[b"token"]))
    flow.reply((0, (A, envelope(1, channel=b"listener"))))
    queue, token, [end], last = flow.asked.arguments
    assert (flow.asked.name, queue, token, last) == ("finish", Q, b"token", True)
    assert (end.way, end.ids, end.channels) == (Way.DEAD, [A], [b"listener"])
    assert isinstance(Wire(OPTIONS).result_or_error(Q, A, *end.outcomes), exceptions.WorkerLost)


@pytest.mark.parametrize("first", range(4))
def test_what_cannot_be_performed_is_ended_and_the_rest_is_returned(
    worker: WorkerFlows, first: int
) -> None:
    # given an expired task, one that is damaged, one of a newer format, and a good one
    newer = bytes([9]) + envelope(4)[1:]
    tasks = [
        (A, envelope(1, deadline=1_000)),
        (b"d" * 16, b"short"),
        (b"n" * 16, newer),
        (B, envelope("good", deadline=1_001)),
    ]
    taken = took(*tasks[first:], *tasks[:first], now=1_000)
    # when they are taken
    flow = Driver(worker.take(Q, 4)).reply(taken)
    # then three ends are written, while the batch stays open for the fourth
    _, _, ends, last = flow.asked.arguments
    assert [(end.way, len(end.ids)) for end in ends] == [(Way.EXPIRED, 1), (Way.DEAD, 2)]
    assert last is False
    assert flow.reply(set()).result == [(UUID(bytes=B), "good")]


def test_the_end_of_the_last_task_closes_the_batch(worker: WorkerFlows) -> None:
    taken = took((A, envelope(1)), (B, envelope(2)))
    Driver(worker.take(Q, 2)).reply(taken)
    first = Driver(worker.give(Q, [(UUID(bytes=A), 1)]))
    assert first.asked.arguments[-1] is False
    assert first.reply(set()).ended
    second = Driver(worker.give(Q, [(UUID(bytes=B), 1)]))
    assert second.asked.arguments[-1] is True
    assert second.reply(set()).ended


def test_two_threads_that_return_halves_close_the_batch_between_them(worker: WorkerFlows) -> None:
    # given a batch, and two threads that return half of it each at the same time
    Driver(worker.take(Q, 2)).reply(took((A, envelope(1)), (B, envelope(2))))
    halves = [Driver(worker.give(Q, [(UUID(bytes=i), 1)])) for i in (A, B)]
    assert [half.asked.arguments[-1] for half in halves] == [False, False]
    # when both have been stored
    assert halves[0].reply(set()).ended
    halves[1].reply(set())
    # then the later one closes it
    assert halves[1].asked.arguments[2:] == ([], True)


def test_a_lease_that_is_lost_is_not_renewed_again(
    worker: WorkerFlows, caplog: pytest.LogCaptureFixture
) -> None:
    Driver(worker.take(Q, 1)).reply(took((A, envelope(1))))
    renewal = Driver(worker.renew(Q, "name", None))
    [token] = renewal.asked.arguments[2]
    assert renewal.reply({token}).ended
    assert "not leased to this worker any more" in caplog.text
    assert Driver(worker.renew(Q, "name", None)).asked.arguments[2] == []


def test_a_lease_that_ended_with_its_batch_is_not_lost(
    worker: WorkerFlows, caplog: pytest.LogCaptureFixture
) -> None:
    # given a worker whose results are on their way, and a lease thread
    Driver(worker.take(Q, 1)).reply(took((A, envelope(1))))
    giving = Driver(worker.give(Q, [(ids.to_uuid(A), "good")], RetryPolicy()))
    renewal = Driver(worker.renew(Q, "name", None))
    [token] = renewal.asked.arguments[2]
    # when the store has ended the batch, and the lease thread hears of it first
    assert renewal.reply({token}).ended
    # then nobody is told that another worker has it
    assert giving.reply(set()).ended
    assert caplog.text == ""


def test_an_error_of_a_batch_that_is_lost_meanwhile_is_refused_like_any_other(
    worker: WorkerFlows,
) -> None:
    # given a worker that returns an error, which may be tried again
    Driver(worker.take(Q, 1)).reply(took((A, envelope(1))))
    error = ValueError("late")
    giving = Driver(worker.give(Q, [(ids.to_uuid(A), error)], RetryPolicy(max_attempts=2)))
    assert giving.asked.name == "now"
    # when its lease thread learns that the batch is another worker's
    renewal = Driver(worker.renew(Q, "name", None))
    [token] = renewal.asked.arguments[2]
    renewal.reply({token})
    # then it asks for the end of the task under the lost lease, which the store refuses
    finish = giving.reply(0).asked
    assert (finish.name, finish.arguments[:2]) == ("finish", (Q, token))
    assert giving.reply({A}).ended


# --- Sharing a task


def test_who_shares_a_task_looks_for_its_result_after_it_began_to_listen(
    store: ScriptedStore,
) -> None:
    # given a call with a key
    flow = Driver(ClientFlows(store, OPTIONS).call(Q, 1, 60, key="report")).reply(1_000)
    assert flow.asked.name == "share"
    # when it is told of another task that there is
    flow.reply(B)
    # then it listens for that one, and looks since its result may have come before
    assert [waiter.ids for waiter in store.lookout._waiters] == [(B,)]
    assert flow.asked == Verb("look", (Q, [B]))
    flow.reply(Looked({B: success("result")}, [])).reply(None)
    assert flow.result == "result"
