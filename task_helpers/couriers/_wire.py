"""
Between values and the bytes that stores keep: serializer, limits, signatures.

With a `signing_key`, an HMAC-SHA256 stands before each payload and each outcome and is checked
before anything is decoded. It covers queue, id, direction and codec too, so nothing that was
signed can be replayed as something else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

from task_helpers import outcomes
from task_helpers.couriers.options import CourierOptions
from task_helpers.envelopes import Header
from task_helpers.exceptions import (
    DeserializationError,
    PayloadTooLarge,
    ResultTooLarge,
    TaskHelpersError,
)
from task_helpers.registry import with_function_names
from task_helpers.serializers import dumps_all, loads_all

TASK, RESULT = b"task", b"result"
MAC_BYTES = 32


@lru_cache(maxsize=64)
def _packed_header(codec: int, priority: int, deadline: int, channel: bytes, signed: bool) -> bytes:
    """Tasks without a deadline have the same one again and again."""
    return Header(codec, priority, 0, deadline, channel, signed).pack()


class Wire:
    """What a courier writes and reads; safe for threads."""

    def __init__(self, options: CourierOptions) -> None:
        self._options = options
        self._codec = options.codec
        self._dumps_all = partial(dumps_all, options.codec)
        self._key = options.signing_key
        self._success = outcomes.start_of_success(self._codec)

    # --- Tasks

    def header(self, priority: int, deadline: int, channel: bytes) -> bytes:
        """The same for all tasks of a bulk add."""
        return _packed_header(self._codec.codec, priority, deadline, channel, self._key is not None)

    def payloads(self, tasks_data: Iterable[Any]) -> list[bytes]:
        """Raises `SerializationError`, `UnknownFunction` and `PayloadTooLarge`."""
        payloads = self._dumps_all(with_function_names(tasks_data))
        if size := _longest_over(limit := self._options.max_payload, payloads):
            raise PayloadTooLarge(
                f"the task takes {size:,} bytes and max_payload is {limit:,}: "
                "store the data elsewhere and send its key"
            )
        return payloads

    def envelopes(
        self, queue: str, header: bytes, task_ids: Sequence[bytes], payloads: Iterable[bytes]
    ) -> list[bytes]:
        """
        - header - that of `header`, the same for all of them.
        """
        if self._key is None:
            return [header + payload for payload in payloads]
        codec, signed = bytes((self._codec.codec,)), zip(task_ids, payloads, strict=True)
        return [header + self._mac(TASK, queue, i, codec, p) + p for i, p in signed]

    def tasks_data(
        self,
        queue: str,
        codec: int,
        signed: bool,
        task_ids: Iterable[bytes],
        payloads: Sequence[bytes],
    ) -> list[Any]:
        """
        Those of the payloads. Raises `DeserializationError`.

        - codec, signed - as their headers say.
        - task_ids - theirs, in their order.
        """
        if self._key is not None or signed:
            start, pairs = bytes((codec,)), zip(task_ids, payloads, strict=True)
            payloads = [self._verified(TASK, queue, i, start, p, signed) for i, p in pairs]
        return loads_all(self._options.decoder(codec), payloads)

    # --- Outcomes

    def successes(
        self, queue: str, task_ids: Sequence[bytes], results: Sequence[Any]
    ) -> list[bytes]:
        """Raises `SerializationError` and `ResultTooLarge`."""
        start = self._success
        made = [start + body for body in self._dumps_all(results)]
        if size := _longest_over(limit := self._options.max_result, made):
            raise ResultTooLarge(
                f"the result takes {size:,} bytes and max_result is {limit:,}: "
                "store the data elsewhere and return its key"
            )
        if self._key is None:
            return made
        return [self.signed_outcome(queue, *each) for each in zip(task_ids, made, strict=True)]

    def failure(self, queue: str, task_id: bytes, error: Exception, attempts: int) -> bytes:
        return self.signed_outcome(queue, task_id, outcomes.encode_failure(error, attempts))

    def results(self, queue: str, ended: Mapping[bytes, bytes]) -> list[Any]:
        """
        Those of the outcomes, which are given by id; an error stands as a value: the
        `PerformTaskError` that a task ended with, or a `DeserializationError`.
        """
        starts = {outcome[:2] for outcome in ended.values()}
        if self._key is None and starts == {self._success}:
            with suppress(DeserializationError):
                return loads_all(self._codec, [outcome[2:] for outcome in ended.values()])
        return [self.result_or_error(queue, *each) for each in ended.items()]

    def result_or_error(self, queue: str, task_id: bytes, outcome: bytes) -> Any:
        """As `results`, of one."""
        try:
            return self._result(queue, task_id, outcome)
        except TaskHelpersError as error:
            return error

    def _result(self, queue: str, task_id: bytes, outcome: bytes) -> Any:
        start, body = outcomes.split(outcome)
        signed = outcomes.is_signed(start)
        if self._key is not None or signed:
            body = self._verified(RESULT, queue, task_id, start, body, signed)
        return outcomes.decode(start, body, task_id, self._options.decoder)

    def signed_outcome(self, queue: str, task_id: bytes, outcome: bytes) -> bytes:
        if self._key is None:
            return outcome
        start, body = outcomes.split(outcomes.marked_signed(outcome))
        return start + self._mac(RESULT, queue, task_id, start, body) + body

    # --- Signatures

    def _mac(
        self, direction: bytes, queue: str, task_id: bytes, start: bytes, body: bytes
    ) -> bytes:
        """All parts before the body are of one length, or end where a queue name cannot."""
        parts = b"\0".join((direction, queue.encode(), task_id + start + body))
        return hmac.digest(self._key or b"", parts, hashlib.sha256)

    def _verified(
        self, direction: bytes, queue: str, task_id: bytes, start: bytes, body: bytes, signed: bool
    ) -> bytes:
        """The body without its signature; not a byte of it was decoded before."""
        if self._key is None:
            if signed:
                raise DeserializationError("it is signed: give this courier the signing_key")
            return body
        if not signed:
            raise DeserializationError("it is not signed: give all couriers the signing_key")
        mac, body = body[:MAC_BYTES], body[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(direction, queue, task_id, start, body)):
            raise DeserializationError("its signature is wrong: another signing_key, or forged")
        return body


def _longest_over(limit: int, texts: Sequence[bytes]) -> int:
    """How long the longest one is; 0 where all keep to the limit."""
    if sum(map(len, texts)) <= limit:  # as it is most of the time
        return 0
    longest = max(map(len, texts))
    return longest if longest > limit else 0
