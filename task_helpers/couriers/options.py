"""The settings that all couriers share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypedDict

from task_helpers.counts import whole_number
from task_helpers.durations import Duration, seconds
from task_helpers.serializers import PickleSerializer, Serializer, serializer_named, serializer_of

SHORTEST_KEY = 16


HEAVIEST = 1_000_000_000
LONGEST_KEY = 200


class CallOptions(TypedDict, total=False):
    """What `call` takes by keyword."""

    priority: int
    weight: int
    key: str | None


class AddOptions(CallOptions, total=False):
    """What `add_task_to_queue` takes by keyword."""

    delay: Duration | None
    run_at: datetime | None
    expires: Duration | None


@dataclass(frozen=True, kw_only=True)
class CourierOptions:
    """
    - serializer - "msgpack", "json", "pickle" (with a signing_key) or a `Serializer`.
    - signing_key - at least 16 secret bytes that all couriers of the queues share: what is not
      signed with it is not decoded. None: nothing is signed.
    - lease - seconds that a batch stays its worker's without being renewed.
    - result_ttl - seconds that a result is kept for whoever asks.
    - max_payload - largest encoded task, bytes.
    - max_result - largest encoded result, bytes.
    - max_queue_length - most unfinished tasks in a queue; None: any number.
    - max_queue_seconds - most seconds that the workers may need for what is in a queue, by the rate
      at which they drain it; None: any number, and while there is no backlog to measure it.
    - max_dead_letters - most dead letters kept per queue, the oldest make room.
    - retry_seconds - how long an unreachable store is tried again before an operation fails.
    """

    serializer: str | Serializer = "msgpack"
    signing_key: bytes | None = field(default=None, repr=False)
    lease: Duration = 30
    result_ttl: Duration = 600
    max_payload: int = 1_000_000
    max_result: int = 8_000_000
    max_queue_length: int | None = None
    max_queue_seconds: Duration | None = None
    max_dead_letters: int = 1_000
    retry_seconds: Duration = 10

    codec: Serializer = field(init=False, repr=False)
    lease_ms: int = field(init=False, repr=False)
    result_ttl_ms: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("max_payload", "max_result", "max_queue_length", "max_dead_letters"):
            if (value := getattr(self, name)) is not None:
                whole_number(value, name)
        derived: dict[str, Any] = {
            "codec": serializer_named(self.serializer),
            "lease_ms": _positive_ms(self.lease, "lease"),
            "result_ttl_ms": _positive_ms(self.result_ttl, "result_ttl"),
        }
        seconds(self.retry_seconds, "retry_seconds")
        if self.max_queue_seconds is not None:
            _positive_ms(self.max_queue_seconds, "max_queue_seconds")
        _check_signing(self.signing_key, derived["codec"])
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def decoder(self, codec: int) -> Serializer:
        """What decodes bytes of this codec: the courier's own serializer, or a built-in one."""
        return self.codec if codec == self.codec.codec else serializer_of(codec)

    def given(self) -> dict[str, Any]:
        """As keywords for another courier."""
        return {name: getattr(self, name) for name in self.names()}

    @classmethod
    def names(cls) -> frozenset[str]:
        """The keywords that couriers take besides those of their store."""
        return frozenset(f.name for f in fields(cls) if f.init)


def _check_signing(key: bytes | None, codec: Serializer) -> None:
    if key is not None and (not isinstance(key, bytes) or len(key) < SHORTEST_KEY):
        raise ValueError(f"signing_key must be at least {SHORTEST_KEY} bytes, see secrets")
    if key is None and isinstance(codec, PickleSerializer):
        raise ValueError(
            "pickle runs whatever code is in a message: give a signing_key with it, or use msgpack"
        )


def _positive_ms(value: Duration, name: str) -> int:
    if (number := round(seconds(value, name) * 1000)) < 1:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return number
