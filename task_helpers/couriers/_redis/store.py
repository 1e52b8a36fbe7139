"""The Redis store: all verbs of `Store`, each one script or one packet of commands."""

from __future__ import annotations

from task_helpers.couriers._redis.client_verbs import ClientVerbs
from task_helpers.couriers._redis.upkeep_verbs import UpkeepVerbs
from task_helpers.couriers._redis.worker_verbs import WorkerVerbs


class RedisStore(ClientVerbs, WorkerVerbs, UpkeepVerbs):
    """See `Store` for what each verb promises."""

    def bounded(self, until: float) -> RedisStore:
        """Shares all that was learnt and is listened to; only its patience is its own."""
        other = object.__new__(RedisStore)  # copy.copy() takes ten times as long
        other.__dict__.update(self.__dict__)
        other._ask = self._ask.bounded(until)
        return other
