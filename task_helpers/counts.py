"""Whole numbers as users write them."""

from __future__ import annotations


def whole_number(value: int, name: str, least: int = 1) -> int:
    """
    The number; `ValueError` when it is not whole, or below `least`.

    - name - of the argument or option, for the message.
    """
    if isinstance(value, int) and value >= least:
        return value
    bound = "above 0" if least == 1 else f"from {least}"
    raise ValueError(f"{name} must be a whole number {bound}, not {value!r}")
