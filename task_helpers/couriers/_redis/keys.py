"""
Every key name. All keys of a queue share one hash tag, so a queue is one slot of a cluster.

    m            hash    id -> envelope: the truth, a task is unfinished exactly while it is here
    p            list    waiting ids of priority 0
    z            zset    waiting ids of other priorities; score (100 - priority) * 2^44 + sequence
    seq          string  the sequence of z
    s1 s2        list    suspects: crashed a worker once; more often, or alone
    d            zset    delayed ids; score due ms * 256 + (100 - priority)
    b:<token>    list    ids of one batch; a blank stands where a dead letter left it
    l            zset    token -> end of the lease in ms: a batch belongs to the token that is here
    c            hash    id -> crashes, 1 in company and 1000 alone; empty in good times
    h            hash    id -> weight, of tasks and dead letters whose weight is not 1
    x xm xe      zset, hash, hash   dead letters: when, envelope, outcome
    w            zset    one wake marker; idle workers block in BZPOPMIN
    k            zset    worker -> when it last reported, ms
    g            hash    id -> token of its batch and how far the task is; expires
    f            hash    digest of a key -> id, and id -> who shares the task; of unfinished tasks
    o            hash    somebody ended a task that another worker may hold; expires
    n:<minute>   hash    done, failed, expired, cancelled -> how many ended so; an hour long
    v            hash    since, ended, rate: how fast a backlog is worked off; none without one
    r:<bucket>   hash    id -> outcome, expires; the bucket is the second (1,024 ms) the id was made

Everything but m, the outcomes and the dead letters can be rebuilt from m.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from task_helpers.couriers._chunks import grouped
from task_helpers.ids import made_at_ms

MINUTE_MS = 60_000


class QueueKeys:
    """The keys of one queue, made once."""

    def __init__(self, prefix: str, queue: str) -> None:
        base = f"{prefix}:{{{queue}}}:".encode()
        self.tasks, self.pending, self.ranked = base + b"m", base + b"p", base + b"z"
        self.sequence, self.delayed = base + b"seq", base + b"d"
        self.few, self.alone, self.crashes = base + b"s1", base + b"s2", base + b"c"
        self.leases, self.wake, self.workers = base + b"l", base + b"w", base + b"k"
        self.dead, self.dead_tasks, self.dead_outcomes = base + b"x", base + b"xm", base + b"xe"
        self.progress, self.weights = base + b"g", base + b"h"
        self.drain, self.flights, self.strays = base + b"v", base + b"f", base + b"o"
        lines = [self.pending, self.ranked, self.few, self.alone, self.tasks, self.delayed]
        rest = [self.leases, self.wake, self.sequence, self.drain, self.weights]
        self.for_taking = lines + rest
        self._bucket_of = lru_cache(maxsize=1024)(self._made_in)  # many are of one ms
        self._batch, self._bucket, self._counts = base + b"b:", base + b"r:", base + b"n:"

    def indexes(self) -> dict[bytes, bytes]:
        """The type of each key that can be rebuilt, or done without."""
        lists = dict.fromkeys((self.pending, self.few, self.alone), b"list")
        ordered = (self.ranked, self.delayed, self.leases, self.wake, self.workers, self.dead)
        sparse = (self.crashes, self.weights, self.progress, self.drain, self.flights)
        hashes = (*sparse, self.strays, self.dead_tasks, self.dead_outcomes)
        return {
            **lists,
            **dict.fromkeys(ordered, b"zset"),
            **dict.fromkeys(hashes, b"hash"),
        }

    def for_adding(self) -> list[bytes]:
        lines = [self.pending, self.ranked, self.delayed, self.wake, self.sequence]
        return [self.tasks, *lines, self.weights, self.flights]

    def for_finishing(self, token: bytes, now: int) -> list[bytes]:
        dead = [self.dead, self.dead_tasks, self.dead_outcomes]
        rest = [self.counts(now), self.drain, self.progress, self.weights, self.flights]
        held = [self.tasks, self.leases, self.batch(token), self.crashes]
        return [*held, *dead, *rest, self.strays]

    def batch(self, token: bytes) -> bytes:
        return self._batch + token

    def batches(self, tokens: Iterable[bytes]) -> list[bytes]:
        return [self._batch + token for token in tokens]

    def bucket(self, task_id: bytes) -> bytes:
        """Whoever holds an id knows where its outcome is."""
        return self._bucket_of(task_id[:6])

    def by_bucket(self, task_ids: Sequence[bytes]) -> dict[bytes, list[bytes]]:
        """The ids by their buckets. The time comes first in an id: mostly the ends say it all."""
        if not task_ids:
            return {}
        first = self.bucket(min(task_ids))
        if first == self.bucket(max(task_ids)):
            return {first: list(task_ids)}
        return grouped(task_ids, self.bucket)

    def _made_in(self, time: bytes) -> bytes:
        return self._bucket + b"%d" % (made_at_ms(time) >> 10)

    def counts(self, now: int) -> bytes:
        return self._counts + b"%d" % (now // MINUTE_MS)

    def counts_of_an_hour(self, now: int) -> list[bytes]:
        return [self.counts(now - minute * MINUTE_MS) for minute in range(60)]


def hint_channel(prefix: str, channel: bytes) -> bytes:
    """Not bound to a queue: a client process listens on one channel for all of its tasks."""
    return f"{prefix}:hints:{channel.hex()}".encode()
