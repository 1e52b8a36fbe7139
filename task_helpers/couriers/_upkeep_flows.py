"""Looking at a queue and mending it, without I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from task_helpers import ids
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.options import CourierOptions
from task_helpers.couriers.parcels import Buried
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.couriers.stats import QueueStats
from task_helpers.couriers.store import IMPATIENT_SECONDS, Store
from task_helpers.effects import Flow
from task_helpers.envelopes import open_envelope, renewed
from task_helpers.exceptions import DeserializationError, TaskHelpersError
from task_helpers.tasks import DeadLetter


class UpkeepFlows:
    """What neither a caller nor a worker needs for its work."""

    def __init__(self, store: Store, options: CourierOptions) -> None:
        self._store = store
        self._options = options
        self._wire = Wire(options)

    def stats(self, queue_name: str, patient: bool) -> Flow[QueueStats]:
        store = self._store
        if not patient:
            store = store.bounded(time.monotonic() + IMPATIENT_SECONDS)
        return store.stats(valid_queue_name(queue_name))

    def dead_letters(self, queue_name: str, max_count: int) -> Flow[list[DeadLetter]]:
        queue = valid_queue_name(queue_name)
        buried = yield from self._store.dead_letters(queue, max_count)
        return [self._dead_letter(queue, letter) for letter in buried]

    def requeue(self, queue_name: str, task_ids: Iterable[UUID | str]) -> Flow[int]:
        """Attempts are counted from the start again. What cannot be opened stays where it is."""
        queue, wanted = valid_queue_name(queue_name), set(map(ids.to_bytes, task_ids))
        buried = yield from self._store.dead_letters(queue, self._options.max_dead_letters)
        tasks = [(i, envelope) for i, envelope, *_ in buried if i in wanted and _opens(envelope)]
        fresh = [(task_id, renewed(envelope)) for task_id, envelope in tasks]
        return (yield from self._store.requeue_dead(queue, fresh))

    def delete(self, queue_name: str, task_ids: Iterable[UUID | str]) -> Flow[int]:
        queue = valid_queue_name(queue_name)
        return self._store.delete_dead(queue, [ids.to_bytes(task_id) for task_id in task_ids])

    def repair(self, queue_name: str) -> Flow[int]:
        return self._store.repair(valid_queue_name(queue_name))

    def _dead_letter(self, queue: str, letter: Buried) -> DeadLetter:
        task_id, envelope, outcome, buried_at = letter
        return DeadLetter(
            ids.to_uuid(task_id),
            self._data(queue, task_id, envelope),
            self._error(queue, task_id, outcome),
            datetime.fromtimestamp(buried_at / 1000, UTC),
        )

    def _data(self, queue: str, task_id: bytes, envelope: bytes) -> Any:
        try:
            header, payload = open_envelope(envelope)
            [data] = self._wire.tasks_data(queue, header.codec, header.signed, [task_id], [payload])
            return data
        except TaskHelpersError:
            return envelope

    def _error(self, queue: str, task_id: bytes, outcome: bytes) -> Exception:
        error = self._wire.result_or_error(queue, task_id, outcome)
        if isinstance(error, TaskHelpersError):
            return error
        return DeserializationError(f"the error of task {ids.to_uuid(task_id)} is damaged")


def _opens(envelope: bytes) -> bool:
    try:
        return bool(open_envelope(envelope))
    except DeserializationError:
        return False
