"""Signed messages: what is not signed with the key is not decoded."""

from __future__ import annotations

from typing import Any

import pytest

from task_helpers.exceptions import DeserializationError, PerformTaskError
from tests.contract.backends import Stand

KEY = b"0123456789abcdef"
OTHER_KEY = b"fedcba9876543210"


class Unplain:
    """Only pickle can send it."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unplain) and other.value == self.value


def work(worker: Any, queue: str) -> None:
    worker.bulk_return_task_results(queue, worker.get_tasks(queue))


@pytest.mark.parametrize("serializer", ["msgpack", "json", "pickle"])
def test_a_signed_task_and_its_result(stand: Stand, queue: str, serializer: str) -> None:
    # given couriers that share a key
    options = {"serializer": serializer, "signing_key": KEY}
    client, worker = stand.client(**options), stand.worker(**options)
    # when tasks go through them, then the results are theirs
    task_ids = client.bulk_add_tasks_to_queue(queue, [{"n": 1}, {"n": 2}])
    work(worker, queue)
    assert client.bulk_wait_for_task_results(queue, task_ids, timeout=1) == [{"n": 1}, {"n": 2}]


def test_pickle_sends_anything(stand: Stand, queue: str) -> None:
    options = {"serializer": "pickle", "signing_key": KEY}
    client, worker = stand.client(**options), stand.worker(**options)
    task_id = client.add_task_to_queue(queue, Unplain(3))
    work(worker, queue)
    assert client.get_task_result(queue, task_id) == Unplain(3)


def test_a_signed_error_is_an_error(stand: Stand, queue: str) -> None:
    client, worker = stand.client(signing_key=KEY), stand.worker(signing_key=KEY)
    failed_id = client.add_task_to_queue(queue, 1)
    worker.get_tasks(queue)
    worker.return_task_result(queue, failed_id, ValueError("no"))
    with pytest.raises(PerformTaskError, match="ValueError: no"):
        client.get_task_result(queue, failed_id)
    cancelled_id = client.add_task_to_queue(queue, 2)
    assert client.cancel_task(queue, cancelled_id)
    assert client.get_task_status(queue, cancelled_id) == "cancelled"


@pytest.mark.parametrize(
    ("clients", "workers", "reason"),
    [
        ({"signing_key": KEY}, {}, "is signed"),
        ({}, {"signing_key": KEY}, "not signed"),
        ({"signing_key": KEY}, {"signing_key": OTHER_KEY}, "signature is wrong"),
    ],
)
def test_a_task_that_cannot_be_trusted_becomes_a_dead_letter(
    stand: Stand, queue: str, clients: dict[str, bytes], workers: dict[str, bytes], reason: str
) -> None:
    # given couriers that do not share a key
    client, worker = stand.client(**clients), stand.worker(**workers)
    task_id = client.add_task_to_queue(queue, 1)
    # when the task is taken, then it is not performed
    assert worker.get_tasks(queue) == []
    [letter] = worker.get_dead_letters(queue)
    assert letter.task_id == task_id
    assert reason in str(letter.error)
    # and its waiter is not left alone
    with pytest.raises((DeserializationError, PerformTaskError)):
        client.wait_for_task_result(queue, task_id, timeout=1)


def test_a_signature_is_for_one_task(stand: Stand, queue: str) -> None:
    # given a signed task, put under another id by somebody who cannot sign
    client, worker = stand.client(signing_key=KEY), stand.worker(signing_key=KEY)
    first_id = client.add_task_to_queue(queue, "first")
    second_id = client.add_task_to_queue(queue, "second")
    stand.swap(queue, first_id, second_id)
    # then neither is performed
    assert worker.get_tasks(queue) == []
    assert {letter.task_id for letter in worker.get_dead_letters(queue)} == {first_id, second_id}


def test_pickle_needs_a_key_and_a_key_some_length(stand: Stand) -> None:
    with pytest.raises(ValueError, match="give a signing_key with it"):
        stand.client(serializer="pickle")
    with pytest.raises(ValueError, match="at least 16 bytes"):
        stand.client(signing_key=b"short")
