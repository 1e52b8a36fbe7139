"""From what a caller gives to what a store takes: checked, encoded, sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from task_helpers import ids
from task_helpers.counts import whole_number
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.options import HEAVIEST, LONGEST_KEY, AddOptions, CallOptions
from task_helpers.couriers.parcels import IN_LINE, Placement
from task_helpers.couriers.store import Store
from task_helpers.durations import milliseconds, timestamp_ms
from task_helpers.effects import Flow
from task_helpers.envelopes import NO_DEADLINE


class Prepared(NamedTuple):
    """
    Tasks that are checked and encoded, and only have to be sent.

    - key - the digest of the one that they share; expires - ms after which nobody wants a result.
    - channel - where their ends are news.
    """

    queue: str
    task_ids: list[bytes]
    payloads: list[bytes]
    place: Placement
    key: bytes | None
    expires: int | None
    channel: bytes

    @property
    def ids(self) -> list[UUID]:
        """As their caller gets them."""
        return ids.all_to_uuid(self.task_ids)


class Preparing:
    """For one courier's store."""

    def __init__(self, store: Store, wire: Wire) -> None:
        self._store = store
        self._wire = wire

    def prepared(self, queue: str, tasks_data: Iterable[Any], options: AddOptions) -> Prepared:
        """Asks no store. Raises what makes a single one of them unfit to be added."""
        place, key, expires = _placement(options), options.get("key"), options.get("expires")
        payloads = self._wire.payloads(tasks_data)
        task_ids = ids.new_ids(len(payloads))
        if key is not None:
            task_ids = list(map(ids.as_shared, task_ids))
        return Prepared(
            queue,
            task_ids,
            payloads,
            place,
            key=None if key is None else digest(key),
            expires=None if expires is None else max(1, milliseconds(expires, "expires")),
            channel=self._store.channel,
        )

    def sealed(self, store: Store, prepared: Prepared) -> Flow[list[tuple[bytes, bytes]]]:
        """(id, envelope) of each task, whose deadline counts from now on the clock of the store."""
        queue, task_ids, deadline = prepared.queue, prepared.task_ids, NO_DEADLINE
        if prepared.expires is not None:
            deadline = (yield from store.now()) + prepared.expires
        header = self._wire.header(prepared.place.priority, deadline, prepared.channel)
        envelopes = self._wire.envelopes(queue, header, task_ids, prepared.payloads)
        return list(zip(task_ids, envelopes, strict=True))


def refuse_one(tasks_data: Iterable[Any]) -> None:
    """The letters of a text and the keys of a dict would be a task each."""
    if isinstance(tasks_data, str | bytes | dict):
        kind = type(tasks_data).__name__
        raise TypeError(
            f"tasks_data must be a list with the data of each task, not {kind}: add one task by "
            "add_task_to_queue"
        )


def refuse_unknown(options: CallOptions, kind: type[CallOptions]) -> None:
    """What `Unpack` promises to type checkers is nothing at run time."""
    for name in options.keys() - kind.__annotations__.keys():
        if name in AddOptions.__annotations__:
            raise TypeError(
                f"call takes no {name}: it waits for the result, and no longer than its timeout. "
                "Add the task by add_task_to_queue, then use wait_for_task_result"
            )
        known = ", ".join(kind.__annotations__)
        raise TypeError(f"{name!r} is no option of a task: use {known}")


def digest(key: Any) -> bytes:
    """Longer than an id."""
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        raise ValueError(f"key must be a text of 1 to {LONGEST_KEY} characters, not {key!r:.99}")
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).digest()


def _placement(options: AddOptions) -> Placement:
    if not options:
        return IN_LINE
    delay, run_at = options.get("delay"), options.get("run_at")
    if delay is not None and run_at is not None:
        raise ValueError("give delay or run_at, not both")
    return Placement(
        priority=whole_number(options.get("priority", 0), "priority", -100, 100),
        delay=0 if delay is None else milliseconds(delay, "delay"),
        due=0 if run_at is None else timestamp_ms(run_at),
        weight=whole_number(options.get("weight", 1), "weight", 0, HEAVIEST),
    )
