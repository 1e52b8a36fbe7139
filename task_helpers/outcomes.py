"""
How a task ended, as bytes: what a worker stores and a waiter reads.

    kind   codec   body
      1      1     the result as its serializer wrote it, or a msgpack map that describes the error

An error crosses as text. The named ends of `task_helpers.exceptions` are numbered here; the
worker's own exception types are never imported or rebuilt at the waiter.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any
from uuid import UUID

from task_helpers import exceptions, ids
from task_helpers.exceptions import DeserializationError, PerformTaskError
from task_helpers.serializers import MsgpackSerializer, Serializer
from task_helpers.tasks import TaskStatus

SUCCESS = 0
SIGNED = 0x80
"""Added to the kind when a signature stands between the first two bytes and the body."""

NOT_STORED = b""
"""The outcome of a task whose result nobody wants."""

MAX_TEXT = 20_000
"""Longest message and longest traceback that are stored, in characters."""

_KINDS: dict[int, type[PerformTaskError]] = {
    1: exceptions.PerformTaskError,
    2: exceptions.TaskNotReturned,
    3: exceptions.WorkerLost,
    4: exceptions.TaskExpired,
    5: exceptions.TaskCancelled,
    6: exceptions.TimeLimitExceeded,
    7: exceptions.TaskLost,
}
_NUMBERS: dict[type[BaseException], int] = {error: kind for kind, error in _KINDS.items()}
_ERRORS = MsgpackSerializer()


def start_of_success(serializer: Serializer) -> bytes:
    """The first two bytes of a success that is not signed."""
    return bytes((SUCCESS, serializer.codec))


def encode_failure(error: BaseException, attempts: int = 1) -> bytes:
    """
    Any exception: a named end stays what it is, all others become `PerformTaskError`. Never fails,
    whatever texts the error has: a task that failed must be able to end.
    """
    kind = _NUMBERS.get(type(error), 1)
    fields = {key: _storable(text) for key, text in _describe(error).items()}
    return bytes((kind, _ERRORS.codec)) + _ERRORS.dumps({**fields, "attempts": attempts})


def _describe(error: BaseException) -> dict[str, object]:
    if isinstance(error, PerformTaskError):
        return {
            "type": error.exception_type,
            "message": error.message,
            "traceback": error.remote_traceback,
        }
    return {
        "type": type(error).__qualname__,
        "message": error,
        "traceback": _traceback_of(error),
    }


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as problem:
        return f"(its traceback cannot be read: {type(problem).__name__})"


def _storable(text: object) -> str:
    """Its text as UTF-8 can hold it: a file name may have stood in the message."""
    try:
        whole = str(text)
    except Exception as problem:
        whole = f"(its text cannot be read: {type(problem).__name__})"
    return whole[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()


def status_of(outcome: bytes) -> TaskStatus:
    """How a task with this stored outcome ended; a damaged one counts as a failure."""
    kind = outcome[0] & ~SIGNED if outcome else None
    if kind == SUCCESS:
        return TaskStatus.SUCCEEDED
    cancelled = _KINDS.get(kind) is exceptions.TaskCancelled if kind else False
    return TaskStatus.CANCELLED if cancelled else TaskStatus.FAILED


def split(outcome: bytes) -> tuple[bytes, bytes]:
    """The two first bytes, and the rest; `DeserializationError` for less than these."""
    if len(outcome) < 2:
        raise DeserializationError("a result of one byte is damaged")
    return outcome[:2], outcome[2:]


def is_signed(start: bytes) -> bool:
    return bool(start[0] & SIGNED)


def marked_signed(outcome: bytes) -> bytes:
    return bytes((outcome[0] | SIGNED,)) + outcome[1:]


def decode(start: bytes, body: bytes, task_id: bytes, decoder: Callable[[int], Serializer]) -> Any:
    """
    The result; raises the `PerformTaskError` that the task ended with.

    - start - kind and codec.
    - body - without a signature.
    - decoder - gives the serializer of a codec.
    """
    kind = start[0] & ~SIGNED
    if kind == SUCCESS:
        return decoder(start[1]).loads(body)
    raise _rebuilt(_KINDS.get(kind, PerformTaskError), _ERRORS.loads(body), ids.to_uuid(task_id))


def _rebuilt(kind: type[PerformTaskError], body: Any, task_id: UUID) -> PerformTaskError:
    if not isinstance(body, dict) or not isinstance(body.get("attempts", 1), int):
        raise DeserializationError(f"the error of task {task_id} is damaged")
    return kind(
        str(body.get("message", "")),
        task_id=task_id,
        exception_type=str(body.get("type", "")),
        remote_traceback=str(body.get("traceback", "")),
        attempts=body.get("attempts", 1),
    )
