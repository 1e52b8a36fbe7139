"""Looking at a queue and mending it on Redis: no caller and no worker needs this for its work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from task_helpers import outcomes, progress
from task_helpers.couriers._chunks import chunks
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers._redis.verbs import Verbs
from task_helpers.couriers.parcels import Buried
from task_helpers.couriers.stats import COUNTED, QueueStats
from task_helpers.effects import Flow
from task_helpers.exceptions import CourierError
from task_helpers.ids import made_at_ms
from task_helpers.tasks import TaskStatus

SCAN_COUNT = 1_000
REPAIR_CHUNK = 100
"""LPOS reads a whole list: a hundred ids in a list of 100,000 hold Redis up for some 50 ms."""


class UpkeepVerbs(Verbs):
    """See `Store`."""

    def status(self, queue: str, task_id: bytes) -> Flow[TaskStatus]:
        keys = self._of(queue)
        outcome, unfinished, due, tokens, note = yield from self._ask.commands(
            [
                ("HGET", keys.bucket(task_id), task_id),
                ("HEXISTS", keys.tasks, task_id),
                ("ZSCORE", keys.delayed, task_id),
                ("ZRANGE", keys.leases, 0, -1),
                ("HGET", keys.progress, task_id),
            ],
            comforts=1,
        )
        if outcome is not None:
            return outcomes.status_of(outcome)
        if not unfinished:
            return TaskStatus.UNKNOWN
        if due is not None:
            return TaskStatus.DELAYED
        token = yield from self._batch_of(keys, task_id, tokens)
        return TaskStatus.WAITING if token is None else progress.status_of(_said_under(token, note))

    def _batch_of(
        self, keys: QueueKeys, task_id: bytes, tokens: Sequence[bytes]
    ) -> Flow[bytes | None]:
        """The token of the batch that holds a task; None: no worker has it."""
        if not tokens:
            return None
        places = [("LPOS", batch, task_id) for batch in keys.batches(tokens)]
        found = zip(tokens, (yield from self._ask.commands(places)), strict=True)
        return next((token for token, at in found if at is not None), None)

    def stats(self, queue: str) -> Flow[QueueStats]:
        keys = self._of(queue)
        tokens, workers, rate, *minutes = yield from self._reports(keys)
        names = [keys.tasks, keys.pending, keys.delayed, keys.dead, keys.ranked]
        names += [keys.few, keys.alone]
        reply = yield from self._ask.script("stats", [*names, *keys.batches(tokens)], [])
        unfinished, delayed, running, dead, heads = reply
        return QueueStats(
            waiting=max(0, unfinished - delayed - running),
            delayed=delayed,
            running=running,
            dead=dead,
            oldest_made_at=min(map(made_at_ms, heads), default=None),
            workers=[worker.decode(errors="replace") for worker in workers],
            drain_rate=None if rate is None else float(rate),
            **_totals(minutes),
        )

    def _reports(self, keys: QueueKeys) -> Flow[list[Any]]:
        """Who holds batches, who works, how fast, and what ended in each minute of an hour."""
        minutes = keys.counts_of_an_hour((yield from self.now()))
        asked = [
            *(("ZRANGE", key, 0, -1) for key in (keys.leases, keys.workers)),
            ("HGET", keys.drain, "rate"),
            *(("HMGET", key, *COUNTED) for key in minutes),
        ]
        return (yield from self._ask.commands(asked, comforts=1 + len(minutes)))

    # --- Dead letters

    def dead_letters(self, queue: str, count: int) -> Flow[list[Buried]]:
        keys = self._of(queue)
        [flat] = yield from self._ask.commands(
            [("ZREVRANGE", keys.dead, 0, count - 1, "WITHSCORES")]
        )
        ids, times = flat[::2], flat[1::2]
        if not ids:
            return []
        envelopes, ends = yield from self._ask.commands(
            [("HMGET", keys.dead_tasks, *ids), ("HMGET", keys.dead_outcomes, *ids)]
        )
        found = zip(ids, envelopes, ends, map(int, map(float, times)), strict=True)
        return [Buried(i, task, end or b"", at) for i, task, end, at in found if task is not None]

    def requeue_dead(self, queue: str, tasks: Sequence[tuple[bytes, bytes]]) -> Flow[int]:
        keys, queued = self._of(queue), 0
        names = [keys.tasks, keys.pending, keys.dead, keys.dead_tasks, keys.dead_outcomes]
        for chunk in chunks(tasks, lambda task: len(task[1])):
            buckets = [keys.bucket(task_id) for task_id, _ in chunk]
            arguments = [value for task in chunk for value in task]
            queued += yield from self._ask.script(
                "requeue_dead", [*names, keys.wake, *buckets], arguments
            )
        return queued

    def delete_dead(self, queue: str, ids: Sequence[bytes]) -> Flow[int]:
        keys, deleted = self._of(queue), 0
        for chunk in chunks(ids, len):
            count, *_ = yield from self._ask.commands(
                [
                    ("ZREM", keys.dead, *chunk),
                    ("HDEL", keys.dead_tasks, *chunk),
                    ("HDEL", keys.dead_outcomes, *chunk),
                    ("HDEL", keys.weights, *chunk),
                ]
            )
            deleted += count
        return deleted

    # --- Repair

    def repair(self, queue: str) -> Flow[int]:
        """Batches that lost their lease are dissolved, then ids that are nowhere are queued."""
        keys = self._of(queue)
        yield from self._drop_foreign(keys.indexes())
        yield from self._dissolve_batches_without_lease(queue)
        lost = yield from self._unplaced(keys)
        back = 0
        for at in range(0, len(lost), REPAIR_CHUNK):
            back += yield from self._queue_again(keys, lost[at : at + REPAIR_CHUNK])
        return back

    def _drop_foreign(self, expected: dict[bytes, bytes]) -> Flow[None]:
        """An index of another type than ours says nothing, and every script fails on it."""
        if not expected:
            return
        kinds = yield from self._ask.commands([("TYPE", key) for key in expected])
        known = zip(expected.items(), kinds, strict=True)
        foreign = [key for (key, ours), kind in known if kind not in (ours, b"none")]
        if foreign:
            yield from self._ask.commands([("DEL", *foreign)])

    def _dissolve_batches_without_lease(self, queue: str) -> Flow[None]:
        keys = self._of(queue)
        found = yield from self._scan("SCAN", None, ("MATCH", keys.batch(b"") + b"*"))
        batches = {key.removeprefix(keys.batch(b"")) for key in found}
        yield from self._drop_foreign(dict.fromkeys(found, b"list"))
        [held] = yield from self._ask.commands([("ZRANGE", keys.leases, 0, -1)])
        for token in batches.difference(held):
            names = [keys.pending, keys.few, keys.alone, keys.tasks, keys.leases]
            yield from self._ask.script(
                "reclaim",
                [*names, keys.batch(token), keys.crashes, keys.wake],
                [token, "expired", 1, 0],
            )

    def _unplaced(self, keys: QueueKeys) -> Flow[list[bytes]]:
        """Candidates: read without holding Redis up, so a task may have moved meanwhile."""
        fields = yield from self._scan("HSCAN", keys.tasks, ())
        [held] = yield from self._ask.commands([("ZRANGE", keys.leases, 0, -1)])
        lists = [keys.pending, keys.few, keys.alone, *keys.batches(held)]
        replies = yield from self._ask.commands(
            [
                *(("LRANGE", key, 0, -1) for key in lists),
                *(("ZRANGE", key, 0, -1) for key in (keys.ranked, keys.delayed)),
            ]
        )
        placed = {task_id for reply in replies for task_id in reply}
        return [task_id for task_id in fields[::2] if task_id not in placed]

    def _queue_again(self, keys: QueueKeys, ids: Sequence[bytes]) -> Flow[int]:
        names = [keys.tasks, keys.pending, keys.ranked, keys.few, keys.alone, keys.delayed]
        back = -1
        while back < 0:
            [held] = yield from self._ask.commands([("ZRANGE", keys.leases, 0, -1)])
            back = yield from self._ask.script(
                "repair",
                [*names, keys.leases, keys.wake, *keys.batches(held)],
                [len(held), *held, *ids],
            )
        return back

    def _scan(self, command: str, key: bytes | None, options: tuple[Any, ...]) -> Flow[list[bytes]]:
        cursor, found = b"0", list[bytes]()
        where = () if key is None else (key,)
        while True:
            [(cursor, page)] = yield from self._ask.commands(
                [(command, *where, cursor, *options, "COUNT", SCAN_COUNT)]
            )
            found += page
            if cursor == b"0":
                return found

    # --- The server

    def concerns(self) -> Flow[list[str]]:
        """An account that may not ask INFO has nothing to say."""
        try:
            memory, server = yield from self._ask.commands([("INFO", "memory"), ("INFO", "server")])
        except CourierError:
            return []
        facts = dict(_facts(memory + server))
        self._ask.health.note_start(float(facts.get("uptime_in_seconds", "inf")))
        policy = facts.get("maxmemory_policy", "noeviction")
        if policy == "noeviction":
            return []
        return [
            f"Redis may drop tasks and results: maxmemory-policy is {policy}. "
            "Set it to noeviction; workers drain a full Redis, and adds are refused by name."
        ]


def _totals(minutes: Iterable[Sequence[bytes | None] | None]) -> dict[str, int]:
    """How many ended in each way; a minute that is damaged counts as nothing."""
    totals = dict.fromkeys(COUNTED, 0)
    for counts in filter(None, minutes):
        for way, count in zip(COUNTED, counts, strict=True):
            totals[way] += int(count or 0)
    return totals


def _facts(info: bytes) -> Iterator[tuple[str, str]]:
    for line in info.decode(errors="replace").splitlines():
        name, separator, value = line.partition(":")
        if separator:
            yield name, value


def _said_under(token: bytes, note: bytes | None) -> bytes | None:
    """What the task said in the batch that holds it now, not in an earlier one."""
    return note[len(token) :] if note and note.startswith(token) else None
