"""
The tables of the database courier. What reads and writes them is `couriers/_database/`.

Times are on the database's clock: ms since 1970, but places are µs.
"""

from __future__ import annotations

import enum

from django.db import models

from django_task_helpers.models.fields import BytesField, IdField, NameField


class State(enum.IntEnum):
    WAITING = 0
    DELAYED = 1
    RUNNING = 2


class Row(models.Model):
    """Nobody edits these by hand: no permissions, no place in the admin."""

    class Meta:
        abstract = True
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self._meta.object_name} {self.pk!r}"


class Task(Row):
    """
    An unfinished task: it is one exactly while its row is here.

    - rank - lower ones are taken first, see `ranks`; 0 for all delayed ones, so that the index
      has them by when they are due.
    - place - when it was added or is due: the order within a rank.
    - token - of the batch that it runs in.
    - crashes - of its workers: 1 in company, 1,000 alone.
    - note - what it said of its progress.
    """

    id = IdField(primary_key=True)
    queue = NameField(max_length=100)
    state = models.SmallIntegerField()
    rank = models.SmallIntegerField()
    place = models.BigIntegerField()
    priority = models.SmallIntegerField(default=0)
    weight = models.IntegerField(default=1)
    token = IdField(null=True)
    envelope = BytesField()
    crashes = models.IntegerField(default=0)
    note = BytesField(null=True)

    class Meta(Row.Meta):
        app_label = "django_task_helpers"
        indexes = [
            models.Index(
                fields=["queue", "state", "rank", "place", "id"], name="task_helpers_task_line"
            )
        ]


class Batch(Row):
    """
    The tasks that a worker took together.

    - task_ids - their ids one after the other, also of those that have ended.
    - alone - a crash is the guilt of its one task.
    """

    token = IdField(primary_key=True)
    queue = NameField(max_length=100)
    lease_until = models.BigIntegerField()
    task_ids = BytesField()
    alone = models.BooleanField()
    suspects = models.BooleanField()

    class Meta(Row.Meta):
        app_label = "django_task_helpers"
        indexes = [models.Index(fields=["queue", "lease_until"], name="task_helpers_batch_leases")]


class SharedKey(Row):
    """
    That of an unfinished task that has one.

    - key - a digest of the queue and the key.
    """

    key = BytesField(max_length=20, primary_key=True)
    queue = NameField(max_length=100)
    task_id = IdField(db_index=True)

    class Meta(Row.Meta):
        app_label = "django_task_helpers"


class Result(Row):
    """How a task ended, for whoever asks until it expires."""

    id = IdField(primary_key=True)
    queue = NameField(max_length=100)
    outcome = BytesField()
    expires_at = models.BigIntegerField()

    class Meta(Row.Meta):
        app_label = "django_task_helpers"
        indexes = [models.Index(fields=["expires_at"], name="task_helpers_result_expiry")]


class DeadLetter(Row):
    """
    - place - when it was buried.
    """

    id = IdField(primary_key=True)
    queue = NameField(max_length=100)
    envelope = BytesField()
    outcome = BytesField()
    weight = models.IntegerField()
    place = models.BigIntegerField()

    class Meta(Row.Meta):
        app_label = "django_task_helpers"
        indexes = [models.Index(fields=["queue", "place"], name="task_helpers_dead_line")]


class Worker(Row):
    """When it last said that it lives."""

    queue = NameField(max_length=100)
    name = NameField(max_length=255)
    seen_at = models.BigIntegerField()

    class Meta(Row.Meta):
        app_label = "django_task_helpers"
        constraints = [
            models.UniqueConstraint(fields=["queue", "name"], name="task_helpers_worker_once")
        ]


class Count(Row):
    """
    How many tasks ended within a minute, and how.

    - shard - of the process that counted: two never wait for each other to write the same row.
    """

    queue = NameField(max_length=100)
    minute = models.BigIntegerField()
    shard = models.IntegerField()
    done = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    expired = models.IntegerField(default=0)
    cancelled = models.IntegerField(default=0)

    class Meta(Row.Meta):
        app_label = "django_task_helpers"
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "minute", "shard"], name="task_helpers_count_once"
            )
        ]


class Drain(Row):
    """
    How many tasks a second one process works off, while there is a backlog.

    - shard - as in `Count`.
    """

    queue = NameField(max_length=100)
    shard = models.IntegerField()
    rate = models.FloatField()
    seen_at = models.BigIntegerField()

    class Meta(Row.Meta):
        app_label = "django_task_helpers"
        constraints = [
            models.UniqueConstraint(fields=["queue", "shard"], name="task_helpers_drain_once")
        ]
