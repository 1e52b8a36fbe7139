"""Whole numbers as users write them."""

from __future__ import annotations


def whole_number(value: int, name: str, least: int = 1, most: int | None = None) -> int:
    """
    The number; `ValueError` when it is not whole, or out of bounds.

    - name - of the argument or option, for the message.
    """
    if isinstance(value, int) and value >= least and (most is None or value <= most):
        return value
    bound = f"above {least - 1}" if most is None else f"from {least} to {most}"
    raise ValueError(f"{name} must be a whole number {bound}, not {value!r}")
