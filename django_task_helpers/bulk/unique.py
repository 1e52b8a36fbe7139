"""Which columns of a model are unique together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import Model


def are_unique(model: type[Model], names: Collection[str]) -> bool:
    """Whether two rows differ in these columns, as long as none of them is None."""
    return any(columns <= set(names) for columns in _unique_sets(model))


def are_a_constraint(model: type[Model], names: Collection[str]) -> bool:
    """Whether just these columns are unique together: then a conflict can be by them."""
    return any(columns == set(names) for columns in _unique_sets(model))


def _unique_sets(model: type[Model]) -> Iterator[set[str]]:
    """Names of columns: of its own table, and of those of the models that it extends."""
    metas: list[Any] = [kind._meta for kind in model.__mro__ if hasattr(kind, "_meta")]
    for meta in metas:
        if not meta.abstract:  # else the model has what it took over, or has replaced it
            yield {column.name for column in meta.pk_fields}
            yield from ({column.name} for column in meta.local_concrete_fields if column.unique)
            yield from map(set, meta.unique_together)
            yield from (set(c.fields) for c in meta.total_unique_constraints if not c.deferrable)
