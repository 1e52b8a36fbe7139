"""The worker's verbs on Redis: taking, ending and holding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Unpack, cast

from task_helpers.couriers._chunks import chunks
from task_helpers.couriers._redis.commands import Argument, Behind, Command, first_error, script
from task_helpers.couriers._redis.ending import by_bucket, finish_calls, hints_of
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers._redis.verbs import Verbs
from task_helpers.couriers.parcels import Again, Ends, HandOver, Line, Reclaimed, Taken, TakeOptions
from task_helpers.couriers.store import CONVICTING_CRASHES, PROGRESS_KEPT_MS, WORKER_FORGOTTEN_MS
from task_helpers.effects import Flow
from task_helpers.ids import made_at_ms


class WorkerVerbs(Verbs):
    """See `Store`."""

    takes_along = True

    def take(
        self,
        queue: str,
        token: bytes,
        max_count: int,
        lease: int,
        wait: float = 0,
        **how: Unpack[TakeOptions],
    ) -> Flow[Taken]:
        keys, along = self._of(queue), how.get("along")
        reply = yield from self._ask.script(
            "take",
            [*keys.for_taking, keys.batch(token)],
            [token, max_count, lease, int(how.get("beside", False)), how.get("max_weight") or 0],
            after=_blocking(keys, wait),
            blocks=wait,
            behind=along and (yield from self._behind(queue, along)),
        )
        ids, envelopes, now, next_due, overdue, suspects = reply
        self._clock.set(now)
        tasks = dict(zip(ids, envelopes, strict=True))
        return Taken(tasks, now, None if next_due < 0 else next_due, overdue, bool(suspects))

    def line(self, queue: str, wait: float = 0) -> Flow[Line]:
        keys = self._of(queue)
        if wait:
            yield from self._ask.commands([("BZPOPMIN", keys.wake, wait)], blocks=wait)
        few, alone, pending, ranked, first, highest, (now, micro) = yield from self._ask.commands(
            [
                *(("LLEN", key) for key in (keys.few, keys.alone, keys.pending)),
                ("ZCARD", keys.ranked),
                ("LRANGE", keys.pending, 0, 0),
                ("ZRANGE", keys.ranked, 0, 0),
                ("TIME",),
            ]
        )
        oldest = 0 if few or alone else min(map(made_at_ms, first + highest), default=0)
        return Line(few + alone + pending + ranked, oldest, int(now) * 1000 + int(micro) // 1000)

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
        self, queue: str, token: bytes, ends: Sequence[Ends], *, last: bool
    ) -> Flow[set[bytes]]:
        refused: set[bytes] = set()
        now, calls = (yield from self.now()), list(finish_calls(ends)) or [[]]
        for number, call in enumerate(calls, 1):
            closes = last and number == len(calls)
            names, arguments = self._finishing(queue, token, call, closes, now)
            refused.update((yield from self._ask.script("finish", names, arguments)))
        return refused

    def _behind(self, queue: str, along: HandOver) -> Flow[Behind]:
        """
        With the source of the script, until Redis has answered its digest: that it does not know it
        would be read a whole batch too late.
        """
        now, finish = (yield from self.now()), script("finish")
        call = finish.by_digest if finish.digest in self._answered else finish.by_source

        def commands() -> list[Command]:
            calls = list(finish_calls(along.ends()))
            last = calls[-1]
            return [
                call(*self._finishing(queue, along.token, each, each is last, now))
                for each in calls
            ]

        def told(replies: list[Any] | BaseException) -> None:
            error = first_error(replies) if isinstance(replies, list) else replies
            if error is None:
                self._answered.add(finish.digest)
                along.told(set(chain.from_iterable(cast(list[Any], replies))))
            else:
                self._answered.discard(finish.digest)
                along.told(error)

        return Behind(commands, told)

    def _finishing(
        self, queue: str, token: bytes, ends: Sequence[Ends], last: bool, now: int
    ) -> tuple[list[bytes], list[Argument]]:
        """Keys and arguments of the script."""
        keys, options = self._of(queue), self._options
        groups = [group for each in ends for group in by_bucket(each, keys)]
        count, hints = sum([len(group.ids) for group in groups]), hints_of(ends)
        names = keys.for_finishing(token, now)
        arguments: list[Argument] = [token, options.result_ttl_ms, int(last)]
        arguments += (options.max_dead_letters, count, len(hints))
        for group in groups:
            names.append(group.bucket)
            arguments += (group.way, len(group.ids))
        for channel, message in hints.items():
            arguments += (self._hint_channel(channel), message)
        for group in groups:
            arguments += group.ids
        if any(any(group.outcomes) for group in groups):
            for group in groups:
                arguments += group.outcomes
        return names, arguments

    def retry(self, queue: str, token: bytes, tasks: Sequence[Again]) -> Flow[set[bytes]]:
        keys = self._of(queue)
        names = [keys.tasks, keys.leases, keys.batch(token), keys.delayed, keys.crashes]
        refused: set[bytes] = set()
        for chunk in chunks(tasks, lambda task: len(task.envelope)):
            arguments: list[Argument] = [token]
            for task_id, envelope, delay, priority in chunk:
                arguments += [task_id, envelope, delay, 100 - priority]
            refused.update((yield from self._ask.script("retry", names, arguments)))
        return refused

    def progress(
        self, queue: str, token: bytes, notes: Sequence[tuple[bytes, bytes]]
    ) -> Flow[None]:
        keys = self._of(queue)
        for chunk in chunks(notes, lambda note: len(note[1])):
            arguments: list[Argument] = [token, PROGRESS_KEPT_MS]
            arguments.extend(part for note in chunk for part in note)
            yield from self._ask.script(
                "progress", [keys.tasks, keys.leases, keys.progress], arguments
            )

    def release(self, queue: str, token: bytes) -> Flow[None]:
        yield from self._reclaim(queue, token, "released", 0)

    def reclaim(
        self, queue: str, token: bytes, lease: int, *, dead: bool = False
    ) -> Flow[Reclaimed]:
        why = "dead" if dead else "expired"
        back, *convicted = yield from self._reclaim(queue, token, why, lease)
        return Reclaimed(back, (convicted[0], convicted[1]) if convicted else None)

    def _reclaim(self, queue: str, token: bytes, why: str, lease: int) -> Flow[list[Any]]:
        keys = self._of(queue)
        names = [keys.pending, keys.few, keys.alone, keys.tasks, keys.leases, keys.batch(token)]
        return self._ask.script(
            "reclaim",
            [*names, keys.crashes, keys.wake],
            [token, why, CONVICTING_CRASHES, lease],
        )

    def leases(self, queue: str) -> Flow[list[bytes]]:
        [tokens] = yield from self._ask.commands([("ZRANGE", self._of(queue).leases, 0, -1)])
        return list(tokens)

    def steady_for(self) -> float:
        return self._ask.health.steady_for()

    def is_gone(self) -> bool:
        return self._ask.is_gone()


def _blocking(keys: QueueKeys, wait: float) -> Command | None:
    return ("BZPOPMIN", keys.wake, wait) if wait else None
