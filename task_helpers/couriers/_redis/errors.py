"""Which errors of Redis pass by themselves, and what the others are called here."""

from __future__ import annotations

from redis import exceptions as theirs

from task_helpers.exceptions import CourierError, CourierUnavailable, QueueFull, StoreFull

_BY_CODE: dict[str, type[theirs.RedisError]] = {
    "NOSCRIPT": theirs.NoScriptError,
    "READONLY": theirs.ReadOnlyError,
    "LOADING": theirs.BusyLoadingError,
    "TRYAGAIN": theirs.TryAgainError,
    "CLUSTERDOWN": theirs.ClusterDownError,
    "MASTERDOWN": theirs.MasterDownError,
    "NOAUTH": theirs.AuthenticationError,
    "WRONGPASS": theirs.AuthenticationError,
}
_LASTING = (theirs.AuthenticationError, theirs.AuthorizationError)
_PASSING = (
    OSError,  # of the socket, which is ours
    theirs.ConnectionError,  # loading a dump (BusyLoadingError) is one of these
    theirs.TimeoutError,
    theirs.ReadOnlyError,
    theirs.TryAgainError,
    theirs.ClusterDownError,
    theirs.MasterDownError,
)

_PASSING_TEXTS = (
    "BUSY ",  # a script runs for too long
    "MISCONF ",  # it cannot save, and takes no writes meanwhile
    "NOREPLICAS ",
    "UNBLOCKED ",  # the master became a replica while we waited in BZPOPMIN
)


def reply_error(text: str) -> theirs.RedisError:
    """What stands for an error of the server among replies."""
    return _BY_CODE.get(text.partition(" ")[0], theirs.ResponseError)(text)


def passes(error: Exception) -> bool:
    """Whether the same command may succeed a moment later."""
    if isinstance(error, _LASTING):
        return False
    text = str(error)
    return isinstance(error, _PASSING) or "READONLY" in text or text.startswith(_PASSING_TEXTS)


def translated(error: Exception, address: str) -> CourierError:
    """One line: what happened, and what to do."""
    text = str(error)
    if passes(error):
        return CourierUnavailable(
            f"Redis at {address} cannot be reached ({text}): "
            "is it running, and is the address right?"
        )
    if text.startswith("QUEUEFULL"):
        return QueueFull(text)
    if "maxmemory" in text:
        return StoreFull(f"Redis at {address} is full and takes no new tasks: raise its maxmemory")
    return CourierError(f"Redis at {address} refused the command: {text}")
