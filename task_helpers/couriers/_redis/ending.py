"""The ends of a batch, put as finish.lua takes them: by bucket, and hints by channel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from task_helpers.couriers._chunks import CHUNK_BYTES, CHUNK_TASKS, chunks, grouped_by
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.parcels import Ends, Way
from task_helpers.envelopes import NO_CHANNEL


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


def ids_by_channel(ends: Sequence[Ends]) -> dict[bytes, list[bytes]]:
    """Where nobody listens no hint goes."""
    ids: dict[bytes, list[bytes]] = {}
    for each in ends:
        for channel, group in grouped_by(each.channels, each.ids).items():
            ids.setdefault(channel, []).extend(group)
    ids.pop(NO_CHANNEL, None)
    return ids
