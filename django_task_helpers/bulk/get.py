"""The worker that reads rows."""

from __future__ import annotations

from typing import Any

from django.db import router

from django_task_helpers.bulk.rows import (
    Key,
    RowsWorker,
    as_read_back,
    key_of,
    sorted_out,
    with_keys,
)
from task_helpers.tasks import Task


class BulkGetWorker(RowsWorker):
    """
    Reads the rows of a batch with one SELECT, rows wanted by several callers once. task_data is a
    key.

        class GetProducts(BulkGetWorker):
            queue_name = "product_reads"
            model = Product

    A key without a row fails its task with the model's `DoesNotExist`, one with several rows with
    `MultipleObjectsReturned`. Override `queryset` to join other tables, and `result` to show them.

    - lookup_field - the column that keys are looked up in.
    """

    lookup_field: str = "pk"

    def check_fields(self) -> None:
        """`ValueError` also for a `lookup_field` that is no column."""
        super().check_fields()
        self._column(self.lookup_field)

    def perform_tasks(self, tasks: list[Task]) -> list[Task]:
        """Each row as `result` shows it, or why there is none."""
        keys, refused = sorted_out(self._key, tasks)
        rows = self._rows(set(keys.values()))
        shown, failed = sorted_out(self._shown_row, rows.items())
        answers = {**shown, **dict(failed)}
        return refused + [(task_id, answers[key]) for task_id, key in keys.items()]

    def _key(self, task_data: Any) -> Key:
        key = (as_read_back(self._column(self.lookup_field), task_data),)
        hash(key)
        return key

    def _rows(self, keys: set[Key]) -> dict[Key, list[Any]]:
        columns = [self._column(self.lookup_field)]
        found: dict[Key, list[Any]] = {key: [] for key in keys}
        for row in self.queryset().filter(**with_keys(columns, keys)):
            if (key := key_of(columns, row)) in found:  # not where the database ignores case
                found[key].append(row)
        return found

    def _shown_row(self, rows: list[Any]) -> Any:
        if len(rows) == 1:
            return self.result(rows[0])
        label = self._model._meta.label
        if rows:
            raise self._model.MultipleObjectsReturned(f"several rows of {label} have this key")
        raise self._model.DoesNotExist(f"no row of {label} has this key")

    @property
    def _alias(self) -> str:
        return self.using or router.db_for_read(self._model)
