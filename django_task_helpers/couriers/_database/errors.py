"""Which errors of a database pass by themselves, and what the others are called here."""

from __future__ import annotations

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError

from task_helpers.exceptions import CourierError, CourierUnavailable, StoreFull

FAILURES = (DatabaseError, InterfaceError)
"""All that a database raises."""

_FULL = ("is full", "disk full", "no space left")
_LASTING = ("no such table", "no such column", "readonly database")


class InTransaction(Exception):
    """
    It happened within the caller's transaction, which is spoilt: to ask again is the caller's.

    - error - what happened.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def passes(error: Exception) -> bool:
    """
    Whether the same verb may succeed a moment later: after an outage, a lock that was held for too
    long, a deadlock, or a race for the same new row.
    """
    if not isinstance(error, OperationalError | InterfaceError | IntegrityError):
        return False
    text = str(error).lower()
    return not any(part in text for part in (*_LASTING, *_FULL))


def translated(error: Exception, place: str) -> CourierError:
    """One line: what happened, and what to do."""
    text = " ".join(str(error).split())
    if passes(error):
        return CourierUnavailable(
            f"{place} gives no answer ({text}): is it running, and are its settings right?"
        )
    if any(part in text.lower() for part in _FULL):
        return StoreFull(f"{place} is full and takes no new tasks ({text}): make room")
    if any(part in text.lower() for part in ("no such table", "does not exist", "doesn't exist")):
        return CourierError(f"{place} lacks a table ({text}): run manage.py migrate")
    return CourierError(f"{place} refused the query: {text}")
