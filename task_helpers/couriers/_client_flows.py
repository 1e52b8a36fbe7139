"""The client side of a courier: adding tasks and waiting for their results, without I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from task_helpers import ids
from task_helpers.couriers._awaited import Awaited
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.couriers.store import Store
from task_helpers.durations import Duration, milliseconds, seconds, timestamp_ms
from task_helpers.effects import Flow
from task_helpers.envelopes import NO_DEADLINE
from task_helpers.exceptions import (
    CourierUnavailable,
    TaskCancelled,
    TaskHelpersError,
    TaskResultDoesNotExist,
)
from task_helpers.tasks import TaskStatus


class AddOptions(TypedDict, total=False):
    """What every way to add tasks takes, see `add_task_to_queue`."""

    priority: int
    delay: Duration | None
    run_at: datetime | None
    expires: Duration | None


class ClientFlows:
    """Every operation of a client courier, once for blocking and awaitable ones."""

    def __init__(self, store: Store, options: CourierOptions) -> None:
        self._store = store
        self._wire = Wire(options)

    # --- Adding

    def add(
        self, queue_name: str, tasks_data: Iterable[Any], **options: Unpack[AddOptions]
    ) -> Flow[list[UUID]]:
        queue = valid_queue_name(queue_name)
        _refuse_unknown(options)
        tasks = yield from self._sealed(queue, tasks_data, options)
        yield from self._store.add(queue, tasks, **_placement(options))
        return [ids.to_uuid(task_id) for task_id, _ in tasks]

    def call(self, queue_name: str, task_data: Any, timeout: Duration) -> Flow[Any]:
        """
        Listens before it adds, so that not even an immediate answer is missed. A store that lost
        the task is given it again.
        """
        queue = valid_queue_name(queue_name)
        until = time.monotonic() + seconds(timeout, "timeout")
        tasks = yield from self._sealed(queue, [task_data], {"expires": timeout})
        [task_id] = [task_id for task_id, _ in tasks]
        with Awaited(self._store, self._wire, queue, [task_id], tasks) as awaited:
            yield from awaited.add()
            found = yield from awaited.collect(until)
        yield from self._forget(queue, [task_id])
        return self._wire.result(queue, task_id, found[task_id])

    def _sealed(
        self, queue: str, tasks_data: Iterable[Any], options: AddOptions
    ) -> Flow[list[tuple[bytes, bytes]]]:
        """(id, envelope) of each task; nothing is added when one of them cannot be encoded."""
        deadline = yield from self._deadline(options.get("expires"))
        priority = _valid_priority(options.get("priority", 0))
        header = self._wire.header(priority, deadline, self._store.channel)
        payloads = list(map(self._wire.payload, tasks_data))
        signed = self._wire.signed_payload
        fresh = zip(ids.new_ids(len(payloads)), payloads, strict=True)
        return [(task_id, header + signed(queue, task_id, payload)) for task_id, payload in fresh]

    def _deadline(self, expires: Duration | None) -> Flow[int]:
        if expires is None:
            return NO_DEADLINE
        now = yield from self._store.now()
        return now + max(1, milliseconds(expires, "expires"))

    # --- Reading and waiting

    def get(self, queue_name: str, task_id: UUID | str, delete_data: bool) -> Flow[Any]:
        queue, awaited = valid_queue_name(queue_name), ids.to_bytes(task_id)
        [outcome] = yield from self._store.outcomes(queue, [awaited])
        if outcome is None:
            raise TaskResultDoesNotExist(
                f"task {task_id} has no result in queue {queue}: it has not ended yet, or its "
                "result was read before or has expired"
            )
        if delete_data:
            yield from self._forget(queue, [awaited])
        return self._wire.result(queue, awaited, outcome)

    def wait(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool,
        timeout: Duration | None,
    ) -> Flow[list[Any]]:
        """Per id its result, or the error it ended with as a value, in the order of the ids."""
        queue, wanted = valid_queue_name(queue_name), [ids.to_bytes(i) for i in task_ids]
        until = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        with Awaited(self._store, self._wire, queue, wanted) as awaited:
            yield from awaited.read()
            found = yield from awaited.collect(until)
        if delete_data:
            yield from self._forget(queue, wanted)
        return [self._result_or_error(queue, task_id, found[task_id]) for task_id in wanted]

    def _forget(self, queue: str, awaited: Sequence[bytes]) -> Flow[None]:
        """The results are read: when the store cannot be told, they expire by themselves."""
        with suppress(CourierUnavailable):
            yield from self._store.forget(queue, awaited)

    def _result_or_error(self, queue: str, task_id: bytes, outcome: bytes) -> Any:
        try:
            return self._wire.result(queue, task_id, outcome)
        except TaskHelpersError as error:
            return error

    # --- One task

    def done(self, queue_name: str, task_id: UUID | str) -> Flow[bool]:
        queue = valid_queue_name(queue_name)
        [outcome] = yield from self._store.outcomes(queue, [ids.to_bytes(task_id)])
        return outcome is not None

    def status(self, queue_name: str, task_id: UUID | str) -> Flow[TaskStatus]:
        return self._store.status(valid_queue_name(queue_name), ids.to_bytes(task_id))

    def cancel(self, queue_name: str, task_id: UUID | str) -> Flow[bool]:
        queue, wanted = valid_queue_name(queue_name), ids.to_bytes(task_id)
        error = TaskCancelled("the task was cancelled")
        return self._store.cancel(queue, wanted, self._wire.failure(queue, wanted, error, 0))


def _refuse_unknown(options: AddOptions) -> None:
    """What `Unpack` promises to type checkers is nothing at run time."""
    for name in options.keys() - AddOptions.__annotations__.keys():
        known = ", ".join(AddOptions.__annotations__)
        raise TypeError(f"{name!r} is no option of a task: use {known}")


def _placement(options: AddOptions) -> dict[str, int]:
    delay, run_at = options.get("delay"), options.get("run_at")
    if delay is not None and run_at is not None:
        raise ValueError("give delay or run_at, not both")
    return {
        "priority": options.get("priority", 0),
        "delay": 0 if delay is None else milliseconds(delay, "delay"),
        "due": 0 if run_at is None else timestamp_ms(run_at),
    }


def _valid_priority(priority: int) -> int:
    if isinstance(priority, int) and -100 <= priority <= 100:
        return priority
    raise ValueError(f"priority must be a whole number from -100 to 100, not {priority!r}")
