"""The verbs of `Store` on Redis, each one script or one packet of commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from task_helpers.couriers._redis import inspection
from task_helpers.couriers._redis.asking import Asking
from task_helpers.couriers._redis.commands import Argument, Command
from task_helpers.couriers._redis.hints import Hints, HintWaiter
from task_helpers.couriers._redis.keys import QueueKeys, hint_channel
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.store import End, Look, QueueStats, Taken
from task_helpers.effects import Flow
from task_helpers.envelopes import open_envelope
from task_helpers.exceptions import DeserializationError
from task_helpers.tasks import TaskStatus

T = TypeVar("T")

CHUNK_TASKS = 1_000
CHUNK_BYTES = 8_000_000
"""Most of one script call: Lua's unpack breaks near 8,000 values, and others wait meanwhile."""

ANY_LENGTH = -1
CONVICTING_CRASHES = 3
WORKER_FORGOTTEN_MS = 60_000
CLOCK_CACHE_SECONDS = 60


class RedisStore:
    """See `Store` for what each verb promises."""

    def __init__(self, asking: Asking, hints: Hints, prefix: str, options: CourierOptions) -> None:
        self._ask = asking
        self._hints = hints
        self._prefix = prefix
        self._options = options
        self._keys: dict[str, QueueKeys] = {}
        self._clock = (0.0, 0)

    def impatient(self) -> RedisStore:
        return RedisStore(self._ask.impatient(), self._hints, self._prefix, self._options)

    def _of(self, queue: str) -> QueueKeys:
        if queue not in self._keys:
            self._keys[queue] = QueueKeys(self._prefix, queue)
        return self._keys[queue]

    def now(self) -> Flow[int]:
        """Redis is asked once a minute: in between, the monotonic clock has not drifted far."""
        read_at, offset = self._clock
        if not read_at or time.monotonic() - read_at > CLOCK_CACHE_SECONDS:
            [(whole, micro)] = yield from self._ask.commands([("TIME",)])
            read_at = time.monotonic()
            offset = int(whole) * 1000 + int(micro) // 1000 - int(read_at * 1000)
            self._clock = (read_at, offset)
        return int(time.monotonic() * 1000) + offset

    # --- The client's side

    def add(
        self,
        queue: str,
        tasks: Sequence[tuple[bytes, bytes]],
        *,
        priority: int = 0,
        delay: int = 0,
        due: int = 0,
    ) -> Flow[None]:
        """The first chunk is admitted only if all of them fit, so a bulk add is all or nothing."""
        keys, limit, left = self._of(queue), self._options.max_queue_length, len(tasks)
        for chunk in _chunks(tasks, lambda task: len(task[1])):
            left -= len(chunk)
            task_ids = [task_id for task_id, _ in chunk]
            room = ANY_LENGTH if limit is None else max(0, limit - left)
            arguments: list[Argument] = [room, 100 - priority, delay, due, len(chunk), *task_ids]
            arguments.extend(envelope for _, envelope in chunk)
            first = [keys.tasks, keys.pending, keys.ranked, keys.delayed, keys.wake, keys.sequence]
            yield from self._ask.script(
                "add", first, arguments, repeat_keys=first + [keys.bucket(i) for i in task_ids]
            )
            limit = None

    def outcomes(self, queue: str, ids: Sequence[bytes]) -> Flow[list[bytes | None]]:
        buckets = self._by_bucket(queue, ids)
        if not buckets:
            return []
        replies = yield from self._ask.commands([("HMGET", key, *b) for key, b in buckets.items()])
        found: dict[bytes, bytes | None] = {}
        for bucket, values in zip(buckets.values(), replies, strict=True):
            found.update(zip(bucket, values, strict=True))
        return [found[task_id] for task_id in ids]

    def look(self, queue: str, ids: Sequence[bytes]) -> Flow[list[Look]]:
        found: dict[bytes, Look] = {}
        for chunk in _chunks(ids, len):
            buckets = self._by_bucket(queue, chunk)
            keys = [self._of(queue).tasks, *buckets]
            arguments = list[Argument]()
            for bucket in buckets.values():
                arguments += [len(bucket), *bucket]
            replies = yield from self._ask.script("look", keys, arguments)
            asked = [task_id for bucket in buckets.values() for task_id in bucket]
            found.update(zip(asked, map(_look, replies), strict=True))
        return [found[task_id] for task_id in ids]

    def forget(self, queue: str, ids: Sequence[bytes]) -> Flow[None]:
        buckets = self._by_bucket(queue, ids)
        if buckets:
            yield from self._ask.commands([("HDEL", key, *b) for key, b in buckets.items()])

    def cancel(self, queue: str, task_id: bytes, outcome: bytes) -> Flow[bool]:
        keys, answer = self._of(queue), b"changed"
        while answer == b"changed":
            held, envelope = yield from self._ask.commands(
                [("ZRANGE", keys.leases, 0, -1), ("HGET", keys.tasks, task_id)]
            )
            names = [keys.tasks, keys.leases, keys.ranked, keys.delayed, keys.crashes]
            channel = self._hint_channel_of(envelope)
            answer = yield from self._ask.script(
                "cancel",
                [*names, keys.bucket(task_id), *keys.batches(held)],
                [task_id, outcome, self._options.result_ttl_ms, channel, *held],
            )
        return answer == b"cancelled"

    def status(self, queue: str, task_id: bytes) -> Flow[TaskStatus]:
        return inspection.status(self._ask, self._of(queue), task_id)

    def stats(self, queue: str) -> Flow[QueueStats]:
        return inspection.stats(self._ask, self._of(queue))

    @property
    def channel(self) -> bytes:
        return self._hints.channel

    def register(self, ids: Collection[bytes]) -> HintWaiter:
        return self._hints.register(ids)

    def unregister(self, waiter: Any) -> None:
        self._hints.unregister(waiter)

    # --- The worker's side

    def take(
        self, queue: str, token: bytes, max_count: int, lease: int, wait: float = 0
    ) -> Flow[Taken]:
        keys = self._of(queue)
        reply = yield from self._ask.script(
            "take",
            [
                *(keys.pending, keys.ranked, keys.few, keys.alone, keys.tasks, keys.delayed),
                *(keys.leases, keys.batch(token), keys.wake, keys.sequence),
            ],
            [token, max_count, lease],
            after=_blocking(keys, wait),
            blocks=wait,
        )
        ids, envelopes, now, next_due, overdue = reply
        tasks = list(zip(ids, envelopes, strict=True))
        return Taken(tasks, now, None if next_due < 0 else next_due, overdue)

    def waiting(self, queue: str, wait: float = 0) -> Flow[int]:
        keys = self._of(queue)
        if wait:
            yield from self._ask.commands([("BZPOPMIN", keys.wake, wait)], blocks=wait)
        lengths = yield from self._ask.commands(
            [
                *(("LLEN", key) for key in (keys.pending, keys.few, keys.alone)),
                ("ZCARD", keys.ranked),
            ]
        )
        return sum(lengths)

    def renew(
        self, queue: str, worker: str, tokens: Sequence[bytes], lease: int
    ) -> Flow[set[bytes]]:
        keys = self._of(queue)
        arguments: list[Argument] = [lease, worker, WORKER_FORGOTTEN_MS, *tokens]
        lost = yield from self._ask.script("renew", [keys.leases, keys.workers], arguments)
        return set(lost)

    def farewell(self, queue: str, worker: str) -> Flow[None]:
        yield from self._ask.commands([("ZREM", self._of(queue).workers, worker)])

    def finish(
        self, queue: str, token: bytes, ends: Sequence[End], *, last: bool
    ) -> Flow[set[bytes]]:
        refused: set[bytes] = set()
        left = len(ends)
        for chunk in _chunks(ends, lambda end: len(end.outcome)) if ends else [[]]:
            left -= len(chunk)
            refused |= yield from self._finish_chunk(queue, token, chunk, last and not left)
        return refused

    def _finish_chunk(
        self, queue: str, token: bytes, ends: Sequence[End], last: bool
    ) -> Flow[set[bytes]]:
        keys = self._of(queue)
        groups = _grouped(ends, lambda end: (keys.bucket(end.task_id), end.way))
        hints = _grouped((end for end in ends if any(end.channel)), lambda end: end.channel)
        ordered = [end for group in groups.values() for end in group]
        options, names = self._options, [keys.tasks, keys.leases, keys.batch(token), keys.crashes]
        refused = yield from self._ask.script(
            "finish",
            [*names, keys.dead, keys.dead_tasks, keys.dead_outcomes, *(key for key, _ in groups)],
            [
                *(token, options.result_ttl_ms, int(last), options.max_dead_letters),
                *(len(ends), len(hints)),
                *(value for (_, way), group in groups.items() for value in (way, len(group))),
                *(value for hint in hints.items() for value in self._hint(*hint)),
                *(end.task_id for end in ordered),
                *(end.outcome for end in ordered),
            ],
        )
        return set(refused)

    def release(self, queue: str, token: bytes) -> Flow[None]:
        yield from self._reclaim(queue, token, "released", 0)

    def reclaim(self, queue: str, token: bytes, lease: int) -> Flow[tuple[bytes, bytes] | None]:
        _, *convicted = yield from self._reclaim(queue, token, "expired", lease)
        return (convicted[0], convicted[1]) if convicted else None

    def _reclaim(self, queue: str, token: bytes, why: str, lease: int) -> Flow[list[Any]]:
        keys = self._of(queue)
        names = [keys.pending, keys.few, keys.alone, keys.tasks, keys.leases, keys.batch(token)]
        return self._ask.script(
            "reclaim",
            [*names, keys.crashes, keys.wake],
            [token, why, CONVICTING_CRASHES, lease],
        )

    # --- Both sides

    def _by_bucket(self, queue: str, ids: Iterable[bytes]) -> dict[bytes, list[bytes]]:
        return _grouped(ids, self._of(queue).bucket)

    def _hint(self, channel: bytes, ends: Iterable[End]) -> tuple[bytes, bytes]:
        ids = b"".join(end.task_id for end in ends)
        return hint_channel(self._prefix, channel), ids

    def _hint_channel_of(self, envelope: bytes | None) -> bytes:
        """The channel of a task that ends without having been opened by a worker."""
        try:
            header, _ = open_envelope(envelope or b"")
        except DeserializationError:
            return hint_channel(self._prefix, b"")
        return hint_channel(self._prefix, header.channel)


def _blocking(keys: QueueKeys, wait: float) -> Command | None:
    return ("BZPOPMIN", keys.wake, wait) if wait else None


def _look(reply: bytes | int) -> Look:
    return Look(None, reply == 1) if isinstance(reply, int) else Look(reply, False)


K = TypeVar("K")


def _grouped(items: Iterable[T], key_of: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key_of(item), []).append(item)
    return groups


def _chunks(items: Sequence[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Up to 1,000 items and 8 MB each; an item over the size goes alone."""
    chunk: list[T] = []
    size = 0
    for item in items:
        if chunk and (len(chunk) == CHUNK_TASKS or size + size_of(item) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += size_of(item)
    if chunk:
        yield chunk
