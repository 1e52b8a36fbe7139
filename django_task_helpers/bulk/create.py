"""The worker that saves new rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connections, transaction
from django.db.models import AutoField

from django_task_helpers.bulk.rows import (
    AnyField,
    Key,
    RowsWorker,
    is_expression,
    key_of,
    sorted_out,
    with_keys,
)
from django_task_helpers.bulk.unique import are_a_constraint, are_unique
from task_helpers.counts import whole_number
from task_helpers.tasks import Task


class BulkCreateWorker(RowsWorker):
    """
    Saves the rows of a batch with one INSERT; each caller gets its own row. task_data is what the
    model's constructor takes, by keyword.

        class SaveProducts(BulkCreateWorker):
            queue_name = "products"
            model = Product
            fields = ("id", "name")

    A row that is refused, by validation or by the database, fails its task alone.

    - batch_size - most rows of one INSERT; None: what the database can take.
    - ignore_conflicts, update_conflicts, update_fields, unique_fields - as `bulk_create` has them.
      With `unique_fields` the rows are read back by these, so that each caller gets the row that
      is in the table afterwards, whoever saved it.
    """

    batch_size: int | None = None
    ignore_conflicts: bool = False
    update_conflicts: bool = False
    update_fields: Sequence[str] | None = None
    unique_fields: Sequence[str] | None = None

    # --- To be overridden

    def instance(self, task_data: Any) -> Any:
        """The row to save for a task, not saved yet."""
        return self._model(**task_data)

    def save(self, instances: Collection[Any]) -> None:
        """Saves new rows, in the transaction of their batch. By default with `bulk_create`."""
        self.queryset().bulk_create(instances, **self._options())

    # --- Running

    def check_fields(self) -> None:
        """
        `ValueError` also for options that do not go together, and for `unique_fields` that more
        than one row may have: its caller would get the row of another one.
        """
        super().check_fields()
        self._check_columns("update_fields", "unique_fields")
        if self.batch_size is not None:
            whole_number(self.batch_size, "batch_size")
        self._check_conflicts()
        self._check_unique()

    def _check_conflicts(self) -> None:
        if self.ignore_conflicts and self.update_conflicts:
            raise ValueError("conflicts are either ignored or updated: choose one of them")
        if self.update_conflicts and not self.update_fields:
            raise ValueError("update_conflicts needs update_fields: what an existing row gets")
        if any(column.primary_key for column in self._columns_of(self.update_fields or ())):
            raise ValueError("update_fields has the key: the key of a row stays as it is")
        if (self.update_conflicts or self.ignore_conflicts) and not self.unique_fields:
            raise ValueError(
                "update_conflicts and ignore_conflicts need unique_fields, to read rows back by"
            )

    def _check_unique(self) -> None:
        names = self.unique_fields or ()
        is_conflict = self.update_conflicts or self.ignore_conflicts
        suffices = are_a_constraint if is_conflict else are_unique
        if names and not suffices(self._model, [c.name for c in self._columns_of(names)]):
            what = "are not unique together" if len(names) > 1 else "is not unique"
            raise ValueError(
                f"{' and '.join(names)} of {self._model._meta.label} {what}: give unique_fields "
                "all columns of the key, of a unique_together or of a UniqueConstraint without "
                "condition, or one that is unique=True"
            )

    def setup(self) -> None:
        """
        `ImproperlyConfigured` when the database could not tell which row got which key, and for a
        model whose rows are in several tables, unless `save` is overridden.
        """
        super().setup()
        self._check_tables()
        pk, connection = self._model._meta.pk, connections[self._alias]
        made_by_database = isinstance(pk, AutoField) or pk.has_db_default()
        returned = connection.features.can_return_rows_from_bulk_insert
        if made_by_database and not returned and not self.unique_fields:
            raise ImproperlyConfigured(
                f"{connection.display_name} returns no keys from a bulk insert: give "
                f"{type(self).__name__} unique_fields to read its rows back by, or "
                f"{self._model._meta.label} a key like UUIDField(primary_key=True, default=uuid4)"
            )

    def _check_tables(self) -> None:
        """A proxy has the table of its model."""
        has_several = bool(self._model._meta.concrete_model._meta.parents)
        if has_several and type(self).save is BulkCreateWorker.save:
            raise ImproperlyConfigured(
                f"{self._model._meta.label} has rows in several tables, which no bulk_create "
                f"fills: override save of {type(self).__name__}, for example to save each row"
            )

    def perform_tasks(self, tasks: list[Task]) -> list[Task]:
        """Each row as `result` shows it, or what refused it."""
        new, refused = sorted_out(self._new, tasks)
        if not new:
            return refused
        with transaction.atomic(using=self._alias):
            rows = self._saved(list(new.values()))
            shown = map(self._shown_or_lost, rows)
            return refused + list(zip(new, shown, strict=True))

    def _new(self, task_data: Any) -> Any:
        """`ValueError` for a row that could be saved, but never be found again."""
        row = self._cleaned(self.instance(task_data))
        if any(value is None or is_expression(value) for value in key_of(self._read_by, row)):
            raise ValueError(
                f"{self._read_by_names} must not be None or made by the database: rows are read "
                "back by it"
            )
        return row

    @cached_property
    def _read_by(self) -> list[AnyField]:
        """The columns that rows are read back by. None where all that is in them is known."""
        if self.unique_fields:
            return self._columns_of(self.unique_fields)
        meta, features = self._model._meta, connections[self._alias].features
        is_made = any(c.has_db_default() or c.generated for c in meta.concrete_fields)
        return meta.pk_fields if is_made and not features.can_return_rows_from_bulk_insert else []

    @property
    def _read_by_names(self) -> str:
        return " and ".join(column.name for column in self._read_by)

    def _saved(self, instances: list[Any]) -> list[Any]:
        """The rows afterwards; None for one that is not there."""
        if not (columns := self._read_by):
            self.save(instances)
            return instances
        keyed = [(key_of(columns, instance), instance) for instance in instances]
        for round_ in _rounds(keyed) if self.update_conflicts else [keyed]:
            self.save(_in_order(round_))
        keys = [key_of(columns, instance) for instance in instances]  # `save` may have others
        found = self._model._base_manager.using(self._alias).filter(**with_keys(columns, keys))
        rows = {key_of(columns, row): row for row in found}
        return [rows.get(key) for key in keys]

    def _shown_or_lost(self, row: Any) -> Any:
        """What was saved and is not found is undone, except where to save nothing was meant."""
        if row is not None:
            return self.result(row)
        lost = IntegrityError(
            f"there is no row with its {self._read_by_names}: it conflicts with another one, and "
            "not by these, or the database keeps other values of them"
        )
        if self.ignore_conflicts:
            return lost
        raise lost

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"batch_size": self.batch_size}
        if self.ignore_conflicts:
            options["ignore_conflicts"] = True
        if self.update_conflicts:
            options |= {"update_conflicts": True, "update_fields": self.update_fields}
            if connections[self._alias].features.supports_update_conflicts_with_target:
                options["unique_fields"] = self.unique_fields
        return options


def _rounds(keyed: Iterable[tuple[Key, Any]]) -> Iterable[list[tuple[Key, Any]]]:
    """
    One INSERT cannot update a row twice (PostgreSQL refuses to). So the first rows of all keys,
    then the second ones, and so on: as if they were saved in the order of their tasks.
    """
    seen, rounds = Counter[Key](), defaultdict[int, list[tuple[Key, Any]]](list)
    for key, instance in keyed:
        rounds[seen[key]].append((key, instance))
        seen[key] += 1
    return rounds.values()


def _in_order(keyed: Iterable[tuple[Key, Any]]) -> list[Any]:
    """Of the keys: workers that save the same rows must not wait for each other in a circle."""
    return [instance for _, instance in sorted(keyed, key=itemgetter(0))]
