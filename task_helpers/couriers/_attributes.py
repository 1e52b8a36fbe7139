"""The keywords of courier constructors: options, and what older programs set as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from task_helpers.couriers.options import CourierOptions


def split_options(keywords: Mapping[str, Any]) -> tuple[CourierOptions, dict[str, Any]]:
    """The options among the keywords, and the others."""
    known = CourierOptions.names()
    options = {name: value for name, value in keywords.items() if name in known}
    others = {name: value for name, value in keywords.items() if name not in known}
    return CourierOptions(**options), others


def set_attributes(courier: object, attributes: Mapping[str, Any]) -> None:
    """Sets them; `TypeError` for a name that the courier has already, which would break it."""
    for name, value in attributes.items():
        if hasattr(courier, name):
            raise TypeError(f"{type(courier).__name__} has {name} already: choose another keyword")
        setattr(courier, name, value)
