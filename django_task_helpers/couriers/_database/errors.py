"""Which errors of a database pass by themselves, and what the others are called here."""

from __future__ import annotations

from django.apps import apps
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError

from task_helpers.exceptions import CourierError, CourierUnavailable, StoreFull

APP = "django_task_helpers"

FAILURES = (DatabaseError, InterfaceError)
"""All that a database raises."""

_FULL = ("is full", "disk full", "no space left")
_NO_TABLE = ("no such table", "does not exist", "doesn't exist")
_HELD = "is locked"
_LASTING = ("no such table", "no such column", "readonly database")

_CONFLICTS = {"40001", "40P01", 1213, 1020}
"""PostgreSQL: not serializable, deadlock. MySQL: deadlock, a row has changed since it was read."""


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


def is_conflict(error: Exception) -> bool:
    """
    Whether another transaction was quicker. A database that says so is there: if leases have run
    out, it is not because nobody could renew them.
    """
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return isinstance(error, IntegrityError) or not _CONFLICTS.isdisjoint((state, *error.args[:1]))


def translated(error: Exception, using: str) -> CourierError:
    """One line: what happened on the database of this alias, and what to do."""
    text = _line(error)
    if not passes(error):
        refused = CourierError(f"database {using!r} refused the query: {text}")
        return lasting(error, using) or refused
    if _HELD in text.lower():
        return CourierUnavailable(
            f"database {using!r} is held by another transaction ({text}): let that one end sooner, "
            "or raise the timeout of the database"
        )
    return CourierUnavailable(
        f"database {using!r} gives no answer ({text}): is it running, and are its settings right?"
    )


def lasting(error: Exception, using: str) -> CourierError | None:
    """What is known to be cured by a person."""
    text = _line(error)
    if any(part in text.lower() for part in _FULL):
        return StoreFull(f"database {using!r} is full and takes no new tasks ({text}): make room")
    if any(part in text.lower() for part in _NO_TABLE):
        return CourierError(f"database {using!r} lacks a table ({text}): {_remedy(using)}")
    return None


def _remedy(using: str) -> str:
    migrate = f"run manage.py migrate {APP} --database {using}"
    if apps.is_installed(APP):
        return migrate
    return f'add "{APP}" to INSTALLED_APPS, and {migrate}'


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
