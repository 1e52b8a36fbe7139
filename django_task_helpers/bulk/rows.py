"""What workers on the rows of one model have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

from django.apps import apps
from django.conf import settings
from django.db import connections, router
from django.db.models import Field, Model, QuerySet
from django.db.models.base import ModelBase
from django.db.models.fields.files import FieldFile
from django.utils.timezone import get_default_timezone, is_naive, make_aware

from task_helpers.workers.base import BaseWorker

T = TypeVar("T")
K = TypeVar("K")
Id = TypeVar("Id")

AnyField: TypeAlias = "Field[Any, Any]"
Key = tuple[Any, ...]


class RowsWorker(BaseWorker):
    """
    The class fields besides those of `BaseWorker`:

    - model - the model, or its label such as "shop.Product".
    - fields - names of the model's fields that a result shows; None: all columns.
    - using - alias of the database; None: the one that the routers say.
    - validate - False: `clean` is not called.
    """

    model: type[Model] | str = ""
    fields: Sequence[str] | None = None
    using: str | None = None
    validate: bool = True
    on_batch_error = "split"
    atomic = False  # each call makes its own transaction, also in workers made by hand

    # --- To be overridden

    def result(self, instance: Any) -> Any:
        """
        What the caller gets of its row. The values of `fields`, as they are read back; a file is
        its name.
        """
        return {name: _plain(value_of(self._column(name), instance)) for name in self._shown}

    def clean(self, instance: Any, exclude: Collection[str]) -> None:
        """
        Raises `ValidationError` for a row that must not be saved; it fails that task alone.

        By default does what `full_clean` can do without a query for each row: the fields'
        validators and the model's `clean`. What is unique, constraints and foreign keys are left
        to the database. Call `instance.full_clean(exclude)` here for all of it.

        - exclude - names of fields that are not to be looked at.
        """
        instance.full_clean(exclude, validate_unique=False, validate_constraints=False)

    def queryset(self) -> QuerySet[Any]:
        """The rows that tasks can reach. By default all of the model's default manager."""
        rows: QuerySet[Any] = self._model._default_manager.using(self._alias)
        return rows

    # --- Running

    def check_fields(self) -> None:
        """`ValueError` also for a model, field or database that is not there."""
        super().check_fields()
        if not _has_table(self._model):
            raise ValueError(
                f"model of {type(self).__name__} must be a model with a table, or a label such as "
                f'"shop.Product", not {self.model!r:.100}'
            )
        self._check_columns("fields")
        if self.using is not None and self.using not in connections:
            raise ValueError(f"using of {type(self).__name__}: there is no database {self.using!r}")

    @property
    def _model(self) -> type[Any]:
        if isinstance(self.model, str | None):
            return _model_named(self.model or "", type(self).__name__)
        return self.model

    @property
    def _alias(self) -> str:
        return self.using or router.db_for_write(self._model)

    @property
    def _shown(self) -> Iterable[str]:
        if self.fields is not None:
            return self.fields
        return [field.attname for field in self._model._meta.concrete_fields]

    def _check_columns(self, *fields: str) -> None:
        """`ValueError` for a class field that is no list of names, or has one that is no column."""
        for field in fields:
            names = getattr(self, field)
            if isinstance(names, str):
                example = names.replace(",", " ").split()
                raise ValueError(f"{field} must be a list of names, such as {example!r:.100}")
            if not isinstance(names, Collection | None):
                raise ValueError(f"{field} must be a list of names, not {names!r:.100}")
            self._columns_of(names or ())

    def _columns_of(self, names: Iterable[str]) -> list[AnyField]:
        return [self._column(name) for name in names]

    def _column(self, name: str) -> AnyField:
        try:
            return self._columns[name]
        except (KeyError, TypeError):  # a list is no key of a dict
            label = self._model._meta.label
            raise ValueError(f"{label} has no column {name!r:.100}") from None

    @cached_property
    def _columns(self) -> dict[Any, AnyField]:
        """By names such as "vendor", "vendor_id" and "pk"."""
        meta = self._model._meta
        columns = {name: c for c in meta.concrete_fields for name in (c.name, c.attname)}
        return columns | ({"pk": meta.pk} if meta.pk in meta.concrete_fields else {})

    def _cleaned(self, instance: T, exclude: Collection[str] = ()) -> T:
        if self.validate:
            self.clean(instance, self._foreign.union(exclude))
        return instance

    @cached_property
    def _foreign(self) -> set[str]:
        return {field.name for field in self._model._meta.fields if field.remote_field}


def sorted_out(
    function: Callable[[K], T],
    given: Iterable[tuple[Id, K]],
    errors: type[Exception] | tuple[type[Exception], ...] = Exception,
) -> tuple[dict[Id, T], list[tuple[Id, Any]]]:
    """
    What the function makes of each task's part, by task id, and (task_id, error) of the rest.

    - errors - those of one task; others are raised.
    """
    made, failed = dict[Id, T](), list[tuple[Id, Any]]()
    for task_id, part in given:
        try:
            made[task_id] = function(part)
        except errors as error:
            failed.append((task_id, error))
    return made, failed


def key_of(columns: Iterable[AnyField], row: Model) -> Key:
    """Its values in these columns, as in `value_of`."""
    return tuple(value_of(column, row) for column in columns)


def value_of(column: AnyField, row: Model) -> Any:
    """As it is read back, whoever set it. What the database is to compute stays as it is."""
    value = getattr(row, column.attname)
    return value if is_expression(value) else as_read_back(column, value)


def as_read_back(column: AnyField, value: Any) -> Any:
    """What the column makes of a value; `ValidationError` for one that it cannot have."""
    value = column.to_python(value)
    if settings.USE_TZ and isinstance(value, datetime) and is_naive(value):
        return make_aware(value, get_default_timezone())  # as the column does when it is saved
    return value


def is_expression(value: Any) -> bool:
    """Whether the database is to compute it."""
    return hasattr(value, "resolve_expression")


def with_keys(columns: Iterable[AnyField], keys: Collection[Key]) -> dict[str, Any]:
    """A filter for rows with these keys. With several columns it lets others pass, too."""
    return {
        f"{column.name}__in": {key[place] for key in keys} for place, column in enumerate(columns)
    }


def _model_named(label: str, worker: str) -> type[Model]:
    if not label:
        raise ValueError(f"set model of {worker}: it works on no table")
    try:
        return apps.get_model(label)
    except (LookupError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"model of {worker}: {reason}") from error


def _has_table(model: Any) -> bool:
    return isinstance(model, ModelBase) and hasattr(model, "_meta") and not model._meta.abstract


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, FieldFile) else value
