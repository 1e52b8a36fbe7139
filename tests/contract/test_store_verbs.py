"""
The promises of `Store` that couriers rely on and users cannot see: each verb may be repeated when
its reply was lost, and nobody settles what is not theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from task_helpers import outcomes
from task_helpers.couriers.parcels import Ends, Placement, Taken, Way
from task_helpers.envelopes import NO_CHANNEL, Header
from task_helpers.exceptions import TaskCancelled
from task_helpers.ids import made_at_ms, new_ids
from task_helpers.serializers import MsgpackSerializer
from task_helpers.tasks import TaskStatus
from tests.contract.backends import Stand

TOKEN, OTHER, LEASE = b"t" * 16, b"o" * 16, 30_000
CODEC = MsgpackSerializer()
OUTCOME = outcomes.start_of_success(CODEC) + CODEC.dumps(1)
CANCELLED = outcomes.encode_failure(TaskCancelled())
ENVELOPE = Header(MsgpackSerializer.codec).pack()

Ask = Callable[..., Any]


@pytest.fixture
def ask(stand: Stand, queue: str) -> Ask:
    """Asks the store for a verb on the queue, blocking."""
    courier = stand.both()
    return lambda verb, *given, **named: courier._run(
        getattr(courier._store, verb)(queue, *given, **named)
    )


def tasks(count: int) -> list[tuple[bytes, bytes]]:
    return [(task_id, ENVELOPE + b"%d" % n) for n, task_id in enumerate(new_ids(count))]


def taken_in_order(taken: Taken) -> list[tuple[bytes, bytes]]:
    return list(taken.tasks.items())


def test_adding_an_id_again_adds_nothing(ask: Ask) -> None:
    added = tasks(3)
    ask("add", added)
    ask("add", added, again=True)
    assert taken_in_order(ask("take", TOKEN, 10, LEASE)) == added
    # also one that has ended since
    ids = [task_id for task_id, _ in added]
    ends = Ends(Way.DONE, ids, [OUTCOME] * 3, [NO_CHANNEL] * 3)
    assert ask("finish", TOKEN, [ends], last=True) == set()
    ask("add", added, again=True)
    assert taken_in_order(ask("take", OTHER, 10, LEASE)) == []


def test_the_same_token_gives_the_same_batch_with_a_fresh_lease(
    ask: Ask, stand: Stand, queue: str
) -> None:
    ask("add", added := tasks(5))
    assert taken_in_order(ask("take", TOKEN, 3, LEASE)) == added[:3]
    stand.pass_leases(queue)
    assert taken_in_order(ask("take", TOKEN, 3, LEASE)) == added[:3]
    taken = ask("take", OTHER, 9, LEASE)
    assert (taken_in_order(taken), taken.overdue) == (added[3:], [])


def test_a_take_names_the_overdue_batches_and_what_is_due_next(
    ask: Ask, stand: Stand, queue: str
) -> None:
    ask("add", tasks(1))
    ask("take", TOKEN, 1, LEASE)
    ask("add", tasks(1), Placement(delay=60_000))
    stand.pass_leases(queue)
    taken = ask("take", OTHER, 1, LEASE)
    assert taken.overdue == [TOKEN]
    assert 0 < taken.next_due - taken.now <= 60_000


def test_a_batch_whose_lease_runs_is_not_reclaimed(ask: Ask) -> None:
    ask("add", added := tasks(2))
    ask("take", TOKEN, 2, LEASE)
    assert ask("reclaim", TOKEN, LEASE) == (0, None)
    assert taken_in_order(ask("take", OTHER, 2, LEASE)) == []
    assert taken_in_order(ask("take", TOKEN, 2, LEASE)) == added


def test_reclaiming_and_releasing_what_is_gone_changes_nothing(
    ask: Ask, stand: Stand, queue: str
) -> None:
    ask("add", added := tasks(20))
    ask("take", TOKEN, 20, LEASE)
    stand.pass_leases(queue)
    assert ask("reclaim", TOKEN, LEASE) == (20, None)
    for _ in range(2):
        assert ask("reclaim", TOKEN, LEASE) == (0, None)
        ask("release", TOKEN)
    assert taken_in_order(ask("take", OTHER, 32, LEASE)) == added[:2]  # suspects: few at a time
    assert ask("renew", "worker", [TOKEN, OTHER], LEASE) == {TOKEN}


def test_an_end_repeated_is_accepted_and_another_one_refused(ask: Ask) -> None:
    ask("add", added := tasks(2))
    ask("take", TOKEN, 2, LEASE)
    first, second = [task_id for task_id, _ in added]
    ends = [Ends(Way.DONE, [first, second], [OUTCOME] * 2, [NO_CHANNEL] * 2)]
    assert ask("finish", TOKEN, ends, last=True) == set()
    assert ask("finish", TOKEN, ends, last=True) == set()
    other = Ends(Way.DONE, [first], [OUTCOME + b"x"], [NO_CHANNEL])
    assert ask("finish", TOKEN, [other], last=False) == {first}
    assert ask("outcomes", [first, second]) == [OUTCOME, OUTCOME]


def test_of_ends_that_overlap_the_first_one_counts(ask: Ask) -> None:
    # given a batch of which two tasks have ended
    ask("add", added := tasks(3))
    ask("take", TOKEN, 3, LEASE)
    ids = [task_id for task_id, _ in added]
    ends = Ends(Way.DONE, ids[:2], [OUTCOME] * 2, [NO_CHANNEL] * 2)
    assert ask("finish", TOKEN, [ends], last=False) == set()
    # when all of them end in another way
    another = Ends(Way.DONE, ids, [OUTCOME + b"x"] * 3, [NO_CHANNEL] * 3)
    refused = ask("finish", TOKEN, [another], last=True)
    # then that counts for the third
    assert refused == set(ids[:2])
    assert ask("outcomes", ids) == [OUTCOME, OUTCOME, OUTCOME + b"x"]
    assert ask("stats").done == 3


@pytest.mark.parametrize("outcome", [OUTCOME, b""])
def test_what_ended_without_a_lease_and_was_read_has_no_second_end(
    ask: Ask, outcome: bytes
) -> None:
    # given a batch of which a task was ended by somebody else, and whose result was read
    ask("add", added := tasks(2))
    ask("take", TOKEN, 2, LEASE)
    ids = [task_id for task_id, _ in added]
    stray = Ends(Way.DONE, ids[:1], [outcome], [NO_CHANNEL])
    assert ask("finish", b"", [stray], last=False) == set()
    ask("forget", ids[:1])
    # when its worker ends the batch
    ends = Ends(Way.DONE, ids, [OUTCOME] * 2, [NO_CHANNEL] * 2)
    ask("finish", TOKEN, [ends], last=True)
    # then only the other one has a result
    assert ask("outcomes", ids) == [None, OUTCOME]


@pytest.mark.parametrize("way", [Way.FAILED, Way.DEAD])
def test_an_error_without_a_lease_is_refused(ask: Ask, way: Way) -> None:
    [(task_id, _)] = added = tasks(1)
    ask("add", added)
    end = Ends(way, [task_id], [OUTCOME], [NO_CHANNEL])
    assert ask("finish", TOKEN, [end], last=False) == {task_id}
    assert ask("look", [task_id]) == ({}, [])
    assert ask("stats").dead == 0


def test_an_empty_outcome_is_not_stored(ask: Ask) -> None:
    [(task_id, _)] = added = tasks(1)
    ask("add", added)
    assert ask("finish", b"", [Ends(Way.DONE, [task_id], [b""], [NO_CHANNEL])], last=False) == set()
    assert ask("look", [task_id]) == ({}, [task_id])


def test_cancelling_again_says_the_same(ask: Ask) -> None:
    [(task_id, _)] = added = tasks(1)
    ask("add", added)
    assert ask("cancel", task_id, CANCELLED) is True
    assert ask("cancel", task_id, CANCELLED) is True
    assert ask("status", task_id) == TaskStatus.CANCELLED
    ask("forget", [task_id])
    assert ask("cancel", task_id, CANCELLED) is False


def test_the_line_is_what_could_be_taken_and_how_old_the_oldest_is(ask: Ask) -> None:
    assert ask("line")[:2] == ask("line", 0.01)[:2] == (0, 0)
    [(oldest, _), *_] = added = tasks(3)
    ask("add", added)
    ask("add", tasks(2), Placement(priority=3))
    length, made_at, now = ask("line", 5)
    assert (length, made_at) == (5, made_at_ms(oldest))
    assert 0 <= now - made_at < 5_000


def test_a_line_with_a_suspect_is_as_old_as_can_be(ask: Ask, stand: Stand, queue: str) -> None:
    ask("add", tasks(2))
    ask("take", TOKEN, 1, LEASE)
    stand.pass_leases(queue)
    ask("reclaim", TOKEN, LEASE)
    assert ask("line")[:2] == (2, 0)
