"""What a courier knows of the batches that it holds."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from task_helpers import ids
from task_helpers.couriers._claims import Claim, Claims

Q = "q"


@pytest.mark.parametrize("seed", range(50))
def test_the_bytes_of_ids_are_the_same_however_the_ids_are_given(seed: int) -> None:
    # given a batch of which some tasks may have ended
    lot, task_ids = random.Random(seed), ids.new_ids(6)
    claims, claim = Claims(), Claim(Q, b"token", until=0)
    claim.tasks = dict.fromkeys(task_ids, b"envelope")
    claim.task_ids = ids.all_to_uuid(task_ids)
    claims.add(claim)
    claims.settle(claim, lot.sample(task_ids, lot.choice([0, 0, 1, 3])))
    # when its ids come back: all in order, or some, in any order, some twice, some as text
    given: list[UUID | str] = list(claim.task_ids)
    if lot.random() < 0.7:
        given = [lot.choice([str, UUID])(str(i)) for i in lot.choices(claim.task_ids, k=6)]
    # then their bytes are those that each of them has by itself
    assert claims.ids_of(Q, given) == [ids.to_bytes(i) for i in given], f"seed {seed}"


def test_a_claim_is_over_once() -> None:
    claims, claim = Claims(), Claim(Q, b"token", until=0)
    first, second = ids.new_ids(2)
    claim.tasks = {first: b"", second: b""}
    claims.add(claim)
    assert not claims.settle(claim, [first])
    assert claims.drop(claim)
    assert not claims.drop(claim)
    assert (claims.held(Q), claims.held_task(Q, second)) == ([], None)
