"""What a worker's results say on the channels of those who wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis

from task_helpers.couriers._redis.ending import hints_of
from task_helpers.couriers._redis.messages import understood
from task_helpers.couriers.parcels import Ends, Way
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier as Courier
from task_helpers.effects import News
from task_helpers.envelopes import NO_CHANNEL
from tests.couriers.conftest import QUEUE as Q

A, B, C = (uuid4().bytes for _ in range(3))


class Ear:
    """Hears what is said to all who use a prefix."""

    def __init__(self, connection: redis.Redis, prefix: str) -> None:
        self._pubsub = connection.pubsub()
        self._pubsub.psubscribe(f"{prefix}:hints:*")
        assert self._pubsub.get_message(timeout=5)

    def hear(self) -> News:
        message = self._pubsub.get_message(timeout=5)
        assert message, "nobody was told"
        return understood([b"message", message["channel"], message["data"]]) or {}

    def close(self) -> None:
        self._pubsub.close()


@pytest.fixture
def ear(redis_connection: redis.Redis, prefix: str) -> Iterator[Ear]:
    ear = Ear(redis_connection, prefix)
    yield ear
    ear.close()


def test_only_what_was_stored_is_told(courier: Courier, other: Courier, ear: Ear) -> None:
    # given a batch of which somebody else, who does not know who waits, ended one task
    first, second = courier.bulk_add_tasks_to_queue(Q, [1, 2])
    courier.get_tasks(Q, 2)
    other.return_task_result(Q, first, "theirs")
    # when its results are returned
    courier.bulk_return_task_results(Q, [(first, "ours"), (second, "ours")])
    # then the outcome that came too late does not travel, that of the other task does
    news = ear.hear()
    assert news[first.bytes] == b""
    assert b"ours" in news[second.bytes]
    assert courier.bulk_wait_for_task_results(Q, [first, second], timeout=5) == ["theirs", "ours"]


def heard(message: bytes) -> News | None:
    return understood([b"message", b"channel", message])


def test_each_channel_hears_of_its_own_tasks() -> None:
    # given ends of three tasks, of which one has nobody who waits
    ends: list[Any] = [
        Ends(Way.DONE, [A, B], [b"a", b"b"], [b"channel 1", NO_CHANNEL]),
        Ends(Way.FAILED, [C], [b"c"], [b"channel 2"]),
    ]
    # when they are told
    hints = hints_of(ends)
    # then each channel hears of its own
    assert {channel: heard(message) for channel, message in hints.items()} == {
        b"channel 1": {A: b"a"},
        b"channel 2": {C: b"c"},
    }


def test_large_outcomes_are_left_to_be_read() -> None:
    ends = Ends(Way.DONE, [A, B], [b"a" * 1_000, b"b" * 1_001], [b"channel"] * 2)
    assert heard(hints_of([ends])[b"channel"]) == {A: b"a" * 1_000, B: b""}
