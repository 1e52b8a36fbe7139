"""The ends of a batch, put as finish.lua takes them: by bucket, and a hint for each channel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from task_helpers.couriers._chunks import CHUNK_BYTES, CHUNK_TASKS, chunks, grouped_by
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers._redis.messages import message_of
from task_helpers.couriers.parcels import Ends, Way
from task_helpers.envelopes import NO_CHANNEL
from task_helpers.outcomes import NOT_STORED

HINTED_BYTES = 1_000
"""Most of an outcome that travels in a hint; finish.lua knows it too."""


class Group(NamedTuple):
    """Tasks that end in one way and whose outcomes share a bucket."""

    bucket: bytes
    way: Way
    ids: Sequence[bytes]
    outcomes: Sequence[bytes]


def finish_calls(ends: Sequence[Ends]) -> Iterator[Sequence[Ends]]:
    """What each call of the script is given: all of it, when one can take that."""
    if sum(len(each.ids) for each in ends) <= CHUNK_TASKS and _bytes_of(ends) <= CHUNK_BYTES:
        yield ends
        return
    for way, *columns in ends:
        for chunk in chunks(list(zip(*columns, strict=True)), lambda end: len(end[1])):
            yield [Ends(way, *zip(*chunk, strict=True))]


def _bytes_of(ends: Sequence[Ends]) -> int:
    return sum(sum(map(len, each.outcomes)) for each in ends)


def by_bucket(ends: Ends, keys: QueueKeys) -> Iterator[Group]:
    way, ids, outcomes, _ = ends
    buckets = keys.by_bucket(ids)
    if len(buckets) == 1:
        [bucket] = buckets
        yield Group(bucket, way, ids, outcomes)
        return
    outcome_of = dict(zip(ids, outcomes, strict=True))
    for bucket, group in buckets.items():
        yield Group(bucket, way, group, [outcome_of[task_id] for task_id in group])


def hints_of(ends: Sequence[Ends]) -> dict[bytes, bytes]:
    """What is said on each channel. Where nobody listens no hint goes."""
    flat: dict[bytes, list[bytes]] = {}
    for each in ends:
        news = list(zip(each.ids, _hinted(each.outcomes), strict=True))
        for channel, group in grouped_by(each.channels, news).items():
            if channel != NO_CHANNEL:
                flat.setdefault(channel, []).extend(chain.from_iterable(group))
    return {channel: message_of(group) for channel, group in flat.items()}


def _hinted(outcomes: Sequence[bytes]) -> Sequence[bytes]:
    """A large one is left out, and read by who waits for it."""
    if max(map(len, outcomes), default=0) <= HINTED_BYTES:
        return outcomes
    return [outcome if len(outcome) <= HINTED_BYTES else NOT_STORED for outcome in outcomes]
