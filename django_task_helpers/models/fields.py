"""Columns of bytes and of names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    BinaryField = models.BinaryField[Any, Any]
    CharField = models.CharField[str, str]
else:
    BinaryField = models.BinaryField
    CharField = models.CharField


class BytesField(BinaryField):
    """Bytes, also where a driver gives a memoryview; those with a max_length may be a key."""

    _pyi_private_get_type: bytes

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if self.max_length and connection.vendor == "mysql":
            return f"varbinary({self.max_length})"
        return super().db_type(connection)

    def from_db_value(self, value: Any, *how: Any) -> bytes | None:
        return None if value is None else bytes(value)


class IdField(BytesField):
    """16 bytes: what the package calls an id or a token, in no other form in between."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 16, **options})


class NameField(CharField):
    """Names that differ in the case of a letter are two, also where MySQL thinks them equal."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters
