"""The Redis store: all verbs of `Store`, each one script or one packet of commands."""

from __future__ import annotations

from task_helpers.couriers._redis.client_verbs import ClientVerbs
from task_helpers.couriers._redis.upkeep_verbs import UpkeepVerbs
from task_helpers.couriers._redis.worker_verbs import WorkerVerbs


class RedisStore(ClientVerbs, WorkerVerbs, UpkeepVerbs):
    """See `Store` for what each verb promises."""

    def impatient(self) -> RedisStore:
        return RedisStore(self._ask.impatient(), self._hints, self._prefix, self._options)
