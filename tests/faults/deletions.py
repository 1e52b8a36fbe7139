"""Index keys are deleted under load: `repair_queue` brings back what is in the hash of tasks."""

from __future__ import annotations

import redis

from task_helpers.couriers._redis.keys import QueueKeys
from tests.faults.context import Context, Field
from tests.faults.load import Load, last, unharmed
from tests.faults.report import Figure, at_least, none, told
from tests.support.waiting import wait_until

LEASE = 2.0


def run(context: Context) -> list[Figure]:
    times = context.scaled(5, 50)
    with context.field(lease=LEASE) as field, field.server.client() as connection:
        keys = QueueKeys("task_helpers", field.queue)
        for _ in range(2):
            field.start(batch=50, task_seconds=0.001)
        with Load(field) as load:
            brought_back = sum(
                _delete_and_repair(context, field, connection, keys) for _ in range(times)
            )
        # of a batch that lost its list a lease may be left, until it has run out
        wait_until(lambda: not connection.exists(keys.leases), 10 * LEASE)
        return [
            at_least("times", times, 1),
            at_least("tasks brought back", brought_back, 1),
            at_least("calls answered", load.answered, 1),
            none("waiters that hung", load.hung + load.timeouts),
            none("calls and adds refused", sum(load.errors.values())),
            unharmed(field),
            told("executions beyond the first", field.ledger.duplicates()),
        ]


def _delete_and_repair(
    context: Context, field: Field, connection: redis.Redis, keys: QueueKeys
) -> int:
    """How many tasks were in no line."""
    wait_until(lambda: connection.exists(keys.pending) and connection.exists(keys.leases))
    tokens = connection.zrange(keys.leases, 0, -1)
    victims = [*keys.batches(tokens), keys.leases, keys.pending]
    connection.delete(*context.random.sample(victims, context.random.randint(1, len(victims))))
    last(context.random.uniform(0, 0.1))
    return field.client.repair_queue(field.queue)
