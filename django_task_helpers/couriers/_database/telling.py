"""Telling those who wait. Here nobody is told: they look, see `waiting`."""

from __future__ import annotations

from collections.abc import Sequence

from django_task_helpers.couriers._database.ends import End


class Telling:
    """
    Both are called within the transaction that brings the news, after all else it does. What they
    say is a hint and may be lost.
    """

    def workers(self, queue: str) -> None:
        """There are tasks to be taken from the queue."""

    def clients(self, ends: Sequence[End]) -> None:
        """These tasks have ended, whoever listens on their channels."""
