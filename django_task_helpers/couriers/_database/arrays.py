"""
Rows as PostgreSQL takes them fastest: an array for each column, a value where all have the same.

With a mark for each value, psycopg takes longer to find the marks than all the rest takes; with a
list it quotes each value by itself, which takes longer than to insert the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


def selected(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> tuple[str, list[Any]]:
    """A statement that selects these rows, and its values. The first column is the key."""
    quoted = connection.ops.quote_name
    types = [model._meta.get_field(name).db_type(connection) for name in columns]
    chosen, names, arrays = list[str](), list[str](), list[str]()
    same, varied = list[Any](), list[Any]()
    for name, kind, values in zip(columns, types, zip(*rows, strict=True), strict=True):
        if names and len(set(values)) == 1:
            chosen.append(f"%s::{kind}")
            same.append(values[0])
        else:
            chosen.append(quoted(name))
            names.append(quoted(name))
            arrays.append(f"%s::{kind}[]")
            varied.append(array(values))
    table = f"unnest({', '.join(arrays)}) AS given ({', '.join(names)})"
    return f"SELECT {', '.join(chosen)} FROM {table}", same + varied


def array(values: Sequence[Any]) -> Any:
    """What psycopg is given for an array of these: one text where all are bytes or all numbers."""
    if isinstance(values[0], bytes):
        return braced(f'"\\\\x{value.hex()}"' for value in values)
    if isinstance(values[0], int):
        return braced(map(str, values))
    return list(values)


def braced(texts: Iterable[str]) -> str:
    return f"{{{','.join(texts)}}}"
