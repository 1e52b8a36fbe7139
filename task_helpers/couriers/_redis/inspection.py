"""Reading a queue without touching it: no worker and no caller needs this to get work done."""

from __future__ import annotations

from task_helpers import outcomes
from task_helpers.couriers._redis.asking import Asking
from task_helpers.couriers._redis.keys import QueueKeys
from task_helpers.couriers.store import QueueStats
from task_helpers.effects import Flow
from task_helpers.ids import made_at_ms
from task_helpers.tasks import TaskStatus


def status(ask: Asking, keys: QueueKeys, task_id: bytes) -> Flow[TaskStatus]:
    outcome, unfinished, due, tokens = yield from ask.commands(
        [
            ("HGET", keys.bucket(task_id), task_id),
            ("HEXISTS", keys.tasks, task_id),
            ("ZSCORE", keys.delayed, task_id),
            ("ZRANGE", keys.leases, 0, -1),
        ]
    )
    if outcome is not None:
        return outcomes.status_of(outcome)
    if not unfinished:
        return TaskStatus.UNKNOWN
    if due is not None:
        return TaskStatus.DELAYED
    places = [("LPOS", batch, task_id) for batch in keys.batches(tokens)]
    held = (yield from ask.commands(places)) if places else []
    return TaskStatus.WAITING if all(at is None for at in held) else TaskStatus.RUNNING


def stats(ask: Asking, keys: QueueKeys) -> Flow[QueueStats]:
    tokens, workers = yield from ask.commands(
        [("ZRANGE", keys.leases, 0, -1), ("ZRANGE", keys.workers, 0, -1)]
    )
    names = [keys.tasks, keys.pending, keys.delayed, keys.leases, keys.dead, keys.ranked]
    reply = yield from ask.script("stats", [*names, *keys.batches(tokens)], [])
    unfinished, delayed, running, dead, *head = reply
    return QueueStats(
        waiting=max(0, unfinished - delayed - running),
        delayed=delayed,
        running=running,
        dead=dead,
        oldest_made_at=made_at_ms(head[0]) if head else None,
        workers=[worker.decode(errors="replace") for worker in workers],
    )
