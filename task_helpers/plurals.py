"""Numbers with their noun, for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """As in "1 task", "3 tasks", "2 batches"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith('ch') else 's'}"
