"""The database store: all verbs of `Store`, each one transaction."""

from __future__ import annotations

from django_task_helpers.couriers._database.client_verbs import ClientVerbs
from django_task_helpers.couriers._database.upkeep_verbs import UpkeepVerbs
from django_task_helpers.couriers._database.worker_verbs import WorkerVerbs


class DatabaseStore(ClientVerbs, WorkerVerbs, UpkeepVerbs):
    """See `Store` for what each verb promises."""

    takes_along = False

    def bounded(self, until: float) -> DatabaseStore:
        """Shares all that was learnt; only its patience is its own."""
        other = object.__new__(DatabaseStore)
        other.__dict__.update(self.__dict__)
        other._ask = self._ask.bounded(until)
        return other
