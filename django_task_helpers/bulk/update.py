"""The worker that changes rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import transaction

from django_task_helpers.bulk.rows import (
    AnyField,
    Key,
    RowsWorker,
    as_read_back,
    key_of,
    sorted_out,
    with_keys,
)
from task_helpers.counts import whole_number
from task_helpers.tasks import Task

REFUSALS = (ValidationError, ObjectDoesNotExist)
"""Errors of one task. Any other may come of a query and have spoiled the transaction."""


@dataclass(frozen=True)
class Change:
    """What a task wants of the row with a key."""

    key: Key
    values: Mapping[AnyField, Any]


class BulkUpdateWorker(RowsWorker):
    """
    Changes the rows of a batch with one SELECT and one UPDATE; each caller gets its own row as it
    is afterwards. task_data is {"pk": ..., column: value, ...}.

        class ChangeProducts(BulkUpdateWorker):
            queue_name = "product_changes"
            model = Product

    Changes of one row are made in the order of their tasks. A change that is refused, by
    validation or by the database, fails its task alone; so does a row that is not there.

    - batch_size - most rows of one UPDATE; None: what the database can take.
    """

    batch_size: int | None = None

    # --- To be overridden

    def save(self, instances: Collection[Any], fields: Collection[str]) -> None:
        """
        Saves these fields of changed rows, in the transaction of their batch. By default with
        `bulk_update`.
        """
        self.queryset().bulk_update(instances, fields, batch_size=self.batch_size)

    # --- Running

    def check_fields(self) -> None:
        """`ValueError` also for a `batch_size` that is none, and a key of several columns."""
        super().check_fields()
        self._column("pk")
        if self.batch_size is not None:
            whole_number(self.batch_size, "batch_size")

    def perform_tasks(self, tasks: list[Task]) -> list[Task]:
        """Each row as `result` shows it, or what refused it."""
        changes, refused = sorted_out(self._change, tasks)
        with transaction.atomic(using=self._alias):
            rows = self._locked([change.key for change in changes.values()])
            changed, failed = sorted_out(
                lambda change: self._changed(rows, change), changes.items(), REFUSALS
            )
            self._save(changed.values(), [changes[task_id] for task_id in changed])
            shown = [(task_id, self.result(row)) for task_id, row in changed.items()]
        return refused + failed + shown

    def _change(self, task_data: Any) -> Change:
        if not isinstance(task_data, Mapping) or "pk" not in task_data:
            raise ValueError(
                f'task_data must be {{"pk": ..., column: value, ...}}, not {task_data!r:.100}'
            )
        values = {self._column(name): task_data[name] for name in task_data if name != "pk"}
        if any(column.primary_key for column in values):
            raise ValueError("the key of a row cannot be changed: create another row")
        return Change((as_read_back(self._column("pk"), task_data["pk"]),), values)

    def _locked(self, keys: Collection[Key]) -> dict[Key, Any]:
        """Always in the order of the keys: workers must not wait for each other in a circle."""
        columns = [self._column("pk")]
        rows = self.queryset().select_for_update().filter(**with_keys(columns, keys))
        return {key_of(columns, row): row for row in rows.order_by("pk")}

    def _changed(self, rows: Mapping[Key, Any], change: Change) -> Any:
        """A change that is refused leaves the row as it was, for the next one."""
        if (row := rows.get(change.key)) is None:
            what = f"{self._model._meta.label} {change.key[0]}"
            raise self._model.DoesNotExist(f"{what} is not there")
        before = {column: getattr(row, column.attname) for column in change.values}
        _set(row, change.values)
        try:
            changed = {column.name for column in change.values}
            return self._cleaned(row, {field.name for field in row._meta.fields} - changed)
        except Exception:
            _set(row, before)
            raise

    def _save(self, changed: Iterable[Any], changes: Iterable[Change]) -> None:
        rows = {row.pk: row for row in changed}
        columns = {column.name for change in changes for column in change.values}
        if columns:
            self.save(list(rows.values()), columns | self._touched(rows.values()))

    def _touched(self, rows: Iterable[Any]) -> set[str]:
        """The fields with `auto_now`, which `bulk_update` leaves to its caller."""
        columns = [c for c in self._model._meta.concrete_fields if getattr(c, "auto_now", False)]
        for row in rows:
            for column in columns:
                column.pre_save(row, add=False)
        return {column.name for column in columns}


def _set(row: Any, values: Mapping[AnyField, Any]) -> None:
    for column, value in values.items():
        setattr(row, column.attname, value)
