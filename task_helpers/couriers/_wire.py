"""
Between values and the bytes that stores keep: serializer, limits, signatures.

With a `signing_key`, an HMAC-SHA256 stands before each payload and each outcome and is checked
before anything is decoded. It covers queue, id, direction and codec too, so nothing that was
signed can be replayed as something else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from task_helpers import outcomes
from task_helpers.couriers.options import CourierOptions
from task_helpers.envelopes import Header
from task_helpers.exceptions import DeserializationError, PayloadTooLarge, ResultTooLarge
from task_helpers.registry import with_function_name

Opener = Callable[[bytes, bytes], Any]

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
        self._key = options.signing_key
        self._success = outcomes.start_of_success(self._codec)

    # --- Tasks

    def header(self, priority: int, deadline: int, channel: bytes) -> bytes:
        """The same for all tasks of a bulk add."""
        return _packed_header(self._codec.codec, priority, deadline, channel, self._key is not None)

    def payload(self, task_data: Any) -> bytes:
        """Raises `SerializationError`, `UnknownFunction` and `PayloadTooLarge`."""
        payload = self._codec.dumps(with_function_name(task_data))
        if len(payload) > (limit := self._options.max_payload):
            raise PayloadTooLarge(
                f"the task takes {len(payload):,} bytes and max_payload is {limit:,}: "
                "store the data elsewhere and send its key"
            )
        return payload

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

    def task_data(self, queue: str, task_id: bytes, header: Header, payload: bytes) -> Any:
        """Raises `DeserializationError`."""
        return self.opener(queue, header)(task_id, payload)

    def opener(self, queue: str, header: Header) -> Opener:
        """Makes task_data of (id, payload) under this header, as `task_data`."""
        loads = self._options.decoder(header.codec).loads
        if self._key is None and not header.signed:
            return lambda task_id, payload: loads(payload)
        codec, signed = bytes((header.codec,)), header.signed
        return lambda i, p: loads(self._verified(TASK, queue, i, codec, p, signed))

    # --- Outcomes

    def success(self, queue: str, task_id: bytes, result: Any) -> bytes:
        """Raises `SerializationError` and `ResultTooLarge`."""
        outcome = self._success + self._codec.dumps(result)
        if len(outcome) > (limit := self._options.max_result):
            raise ResultTooLarge(
                f"the result takes {len(outcome):,} bytes and max_result is {limit:,}: "
                "store the data elsewhere and return its key"
            )
        return outcome if self._key is None else self.signed_outcome(queue, task_id, outcome)

    def failure(self, queue: str, task_id: bytes, error: Exception, attempts: int) -> bytes:
        return self.signed_outcome(queue, task_id, outcomes.encode_failure(error, attempts))

    def result(self, queue: str, task_id: bytes, outcome: bytes) -> Any:
        """Raises the `PerformTaskError` that the task ended with, and `DeserializationError`."""
        if self._key is None and outcome[:2] == self._success:
            return self._codec.loads(outcome[2:])
        start, body = outcomes.split(outcome)
        signed = outcomes.is_signed(start)
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
