"""The client's verbs on Redis: adding, reading and waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from task_helpers.couriers._chunks import chunks
from task_helpers.couriers._lookout import Lookout
from task_helpers.couriers._redis.admission import Admission
from task_helpers.couriers._redis.commands import Argument, Command, transaction
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.parcels import IN_LINE, Looked, Placement
from task_helpers.effects import Flow
from task_helpers.envelopes import channel_of
from task_helpers.exceptions import CourierError, QueueFull

ANY_LENGTH = -1

MANY = 100
"""Awaited tasks that are worth a round trip of their own."""

INDEXED = 32
"""
Tasks that are worth an index: Redis searches a hash of up to 512 small values from its start. One
`LONG` value makes it index the fields, and it stays so when that value has gone. As in the scripts,
see _keep_many.lua.
"""

LONG = b"." * 65

GONE = 0
"""What a look says of a task that is neither unfinished nor ended."""

MOST_FORGOTTEN = 100
"""Results that are deleted beside one add."""

CANCEL_TRIES = 100
"""A worker that takes a batch between reading the leases and looking into them costs one."""


class ClientVerbs(Admission):
    """See `Store`."""

    def add(
        self,
        queue: str,
        tasks: Sequence[tuple[bytes, bytes]],
        place: Placement = IN_LINE,
        unless: Callable[[CourierError], None] | None = None,
        again: bool = False,
    ) -> Flow[None]:
        if again or place != IN_LINE or self._door.bounded:
            return self._admit(queue, tasks, place, again)
        return self._append(queue, tasks, unless)

    def _admit(
        self, queue: str, tasks: Sequence[tuple[bytes, bytes]], place: Placement, again: bool
    ) -> Flow[None]:
        """The first chunk is admitted only if all of them fit, so a bulk add is all or nothing."""
        limit, left = (yield from self._limit(queue, place.later)), len(tasks)
        try:
            for chunk in chunks(tasks, _size):
                left -= len(chunk)
                room = ANY_LENGTH if limit is None else max(0, limit - left)
                yield from self._add(queue, chunk, room, place, again=again)
                limit = None
        except QueueFull:
            raise (yield from self._refusal(queue, len(tasks), place.later)) from None

    def _append(
        self,
        queue: str,
        tasks: Sequence[tuple[bytes, bytes]],
        unless: Callable[[CourierError], None] | None,
    ) -> Flow[None]:
        """
        By plain commands, for half of the price of the script: that one makes sure of more, and is
        called when their reply is lost.
        """
        keys = self._of(queue)
        for chunk in chunks(tasks, _size):
            again = partial(self._adding, keys, chunk, ANY_LENGTH, IN_LINE, again=True)
            commands, forgotten = _appending(keys, chunk), self._forgotten()
            replies = yield from self._ask.once(commands, "add", again, forgotten, unless)
            if replies and (error := _refused(replies[-1])):
                yield from self._undo(keys, chunk)
                raise self._ask.named(error)

    def _undo(self, keys: QueueKeys, tasks: Sequence[tuple[bytes, bytes]]) -> Flow[None]:
        """Nothing may be added in part: a transaction goes on where a key has a wrong type."""
        yield from self._ask.commands([("HDEL", keys.tasks, *[task_id for task_id, _ in tasks])])

    def share(
        self, queue: str, task: tuple[bytes, bytes], key: bytes, place: Placement = IN_LINE
    ) -> Flow[bytes]:
        limit = yield from self._limit(queue, place.later)
        room = ANY_LENGTH if limit is None else limit
        channel = self._hint_channel(self.channel)
        try:
            reply = yield from self._add(queue, [task], room, place, key, channel)
        except QueueFull:
            raise (yield from self._refusal(queue, 1, place.later)) from None
        return reply if isinstance(reply, bytes) else task[0]

    def _add(
        self,
        queue: str,
        tasks: Sequence[tuple[bytes, bytes]],
        room: int,
        place: Placement,
        *sharing: bytes,
        again: bool = False,
    ) -> Flow[Any]:
        adding = partial(self._adding, self._of(queue), tasks, room, place, *sharing)
        return (
            yield from self._ask.script(
                "add",
                *adding(again=again),
                repeat_keys=lambda: adding(again=True)[0],
                before=self._forgotten(),
            )
        )

    def _adding(
        self,
        keys: QueueKeys,
        tasks: Sequence[tuple[bytes, bytes]],
        room: int,
        place: Placement,
        *sharing: bytes,
        again: bool,
    ) -> tuple[list[bytes], list[Argument]]:
        """Keys and arguments of the script."""
        task_ids, envelopes = zip(*tasks, strict=True)
        names = keys.for_adding() + (list(map(keys.bucket, task_ids)) if again else [])
        rank, count = 100 - place.priority, len(tasks)
        arguments = [room, rank, place.delay, place.due, count, *task_ids, *envelopes]
        if sharing or place.weight != 1:
            arguments += [place.weight, *sharing]
        return names, arguments

    def _forgotten(self) -> list[Command]:
        """What was to be deleted soon goes along with the next tasks; else it expires by itself."""
        if not self._read:
            return []
        taken: list[Command] = []
        while self._read and len(taken) < MOST_FORGOTTEN:
            with suppress(IndexError):  # another thread took the last one along
                taken.append(self._read.popleft())
        return taken

    def outcomes(self, queue: str, ids: Sequence[bytes]) -> Flow[list[bytes | None]]:
        ended = yield from self._ended(queue, ids)
        return [ended.get(task_id) for task_id in ids]

    def _ended(self, queue: str, ids: Sequence[bytes]) -> Flow[dict[bytes, bytes]]:
        buckets, ended = self._by_bucket(queue, ids), dict[bytes, bytes]()
        if not buckets:
            return ended
        replies = yield from self._ask.commands([("HMGET", key, *b) for key, b in buckets.items()])
        for bucket, values in zip(buckets.values(), replies, strict=True):
            found = zip(bucket, values, strict=True)
            ended.update({task_id: value for task_id, value in found if value is not None})
        return ended

    def look(self, queue: str, ids: Sequence[bytes]) -> Flow[Looked]:
        """Of many, most have ended or most have not: to read is a fifth of the script's price."""
        looked = Looked({}, [])
        for chunk in chunks(ids, len):
            if len(chunk) > MANY:
                looked.ended.update((yield from self._ended(queue, chunk)))
            if rest := [task_id for task_id in chunk if task_id not in looked.ended]:
                ended, gone = yield from self._look(queue, rest)
                looked.ended.update(ended)
                looked.gone.extend(gone)
        return looked

    def _look(self, queue: str, ids: Sequence[bytes]) -> Flow[Looked]:
        buckets, arguments = self._by_bucket(queue, ids), list[Argument]()
        for bucket in buckets.values():
            arguments += [len(bucket), *bucket]
        replies = yield from self._ask.script("look", [self._of(queue).tasks, *buckets], arguments)
        known = list(zip(chain.from_iterable(buckets.values()), replies, strict=True))
        ended = {task_id: reply for task_id, reply in known if isinstance(reply, bytes)}
        return Looked(ended, [task_id for task_id, reply in known if reply == GONE])

    def forget(self, queue: str, ids: Sequence[bytes], *, soon: bool = False) -> Flow[None]:
        buckets = self._by_bucket(queue, ids)
        if soon:
            self._read.extend(("HDEL", key, *b) for key, b in buckets.items())
        elif buckets:
            yield from self._ask.commands([("HDEL", key, *b) for key, b in buckets.items()])

    def cancel(self, queue: str, task_id: bytes, outcome: bytes) -> Flow[bool]:
        keys = self._of(queue)
        for _ in range(CANCEL_TRIES):
            held, envelope = yield from self._ask.commands(
                [("ZRANGE", keys.leases, 0, -1), ("HGET", keys.tasks, task_id)]
            )
            counts = keys.counts((yield from self.now()))
            names = [keys.tasks, keys.leases, keys.ranked, keys.delayed, keys.crashes]
            names += [keys.weights, keys.flights, counts]
            channel = self._hint_channel(channel_of(envelope or b""))
            answer = yield from self._ask.script(
                "cancel",
                [*names, keys.bucket(task_id), *keys.batches(held)],
                [task_id, outcome, self._options.result_ttl_ms, channel, *held],
            )
            if answer != b"changed":
                return bool(answer == b"cancelled")
        raise CourierError(
            f"the task was not cancelled: workers took new batches of queue {queue} during each "
            f"of {CANCEL_TRIES} tries; try again"
        )

    @property
    def channel(self) -> bytes:
        return self._hints.channel

    @property
    def lookout(self) -> Lookout:
        return self._hints.lookout


def _appending(keys: QueueKeys, tasks: Sequence[tuple[bytes, bytes]]) -> list[Command]:
    """The truth comes last: a transaction that is refused because Redis is full has no part."""
    commands: list[Command] = [
        ("RPUSH", keys.pending, *[task_id for task_id, _ in tasks]),
        ("ZADD", keys.wake, 0, b"0"),
    ]
    if len(tasks) < INDEXED:
        return transaction(*commands, ("HSET", keys.tasks, *chain.from_iterable(tasks)))
    store: Command = ("HSET", keys.tasks, b"", LONG, *chain.from_iterable(tasks))
    return transaction(*commands, store, ("HDEL", keys.tasks, b""))


def _refused(reply: Any) -> Exception | None:
    """What `_appending` could not do. That of a script, which was called in its place, is none."""
    if not isinstance(reply, list):
        return None
    in_line, _, stored, *_ = reply  # without the mark an idle worker comes a little later
    if isinstance(in_line, Exception):
        return in_line
    return stored if isinstance(stored, Exception) else None


def _size(task: tuple[bytes, bytes]) -> int:
    return len(task[1])
