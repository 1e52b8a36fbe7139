"""Telling those who wait, where the database can: on a PostgreSQL. Elsewhere they look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from django.db import connections

from django_task_helpers.couriers._database.ends import End
from django_task_helpers.couriers._database.hints import (
    channel_of_client,
    channel_of_queue,
    packed,
)
from django_task_helpers.couriers._database.vendors import NOTHING, Clause
from task_helpers.envelopes import NO_CHANNEL

NOTIFY = (
    "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) t(channel, payload)"
)


class Telling:
    """
    All are called within the transaction that brings the news, after all else it does: whoever
    commits what it has told waits for the others who do. What they say is a hint and may be lost.
    """

    def __init__(self, using: str) -> None:
        self._using = using

    def workers(self, queue: str) -> None:
        """There are tasks to be taken from the queue."""
        self._tell([(channel_of_queue(queue), "")])

    def workers_along(self, queue: str) -> Clause:
        """What the insert of the tasks returns says the same, without a statement of its own."""
        if connections[self._using].vendor != "postgresql":
            return NOTHING
        return "RETURNING pg_notify(%s, '')", [channel_of_queue(queue)]

    def clients(self, ends: Sequence[End]) -> None:
        """These tasks have ended, whoever listens on their channels."""
        self._tell(hints_of(ends))

    def _tell(self, hints: Sequence[tuple[str, str]]) -> None:
        connection = connections[self._using]
        if hints and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(NOTIFY, list(map(list, zip(*hints, strict=True))))


def hints_of(ends: Sequence[End]) -> list[tuple[str, str]]:
    """(channel, payload) of what is told to clients."""
    ended = defaultdict[bytes, list[tuple[bytes, bytes]]](list)
    for end in ends:
        ended[end.channel].append((end.task_id, end.outcome))
    ended.pop(NO_CHANNEL, None)
    return [(channel_of_client(c), text) for c in ended for text in packed(ended[c])]
