"""The client side of a courier: adding tasks and waiting for their results, without I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import filterfalse
from typing import Any, Unpack, cast
from uuid import UUID

from task_helpers import ids
from task_helpers.couriers._awaited import Awaited
from task_helpers.couriers._preparing import Prepared, Preparing, digest, refuse_one, refuse_unknown
from task_helpers.couriers._wire import Wire
from task_helpers.couriers.options import AddOptions, CallOptions, CourierOptions
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.couriers.store import IMPATIENT_SECONDS, Store
from task_helpers.durations import Duration, seconds
from task_helpers.effects import Flow
from task_helpers.exceptions import (
    CourierUnavailable,
    DeserializationError,
    TaskCancelled,
    TaskExpired,
    TaskHelpersError,
    TaskLost,
    TaskResultDoesNotExist,
)
from task_helpers.tasks import Task, TaskStatus

SMALL = 1_000
"""Bytes of a result that may stay in the store for a while after it was read."""

ANSWER_SECONDS = 1.0
"""How much longer than its timeout a wait may take when the store does not answer."""


class ClientFlows:
    """Every operation of a client courier, once for blocking and awaitable ones."""

    def __init__(self, store: Store, options: CourierOptions) -> None:
        self._store = store
        self._wire = Wire(options)
        self._preparing = Preparing(store, self._wire)

    # --- Adding

    def add(
        self, queue_name: str, tasks_data: Iterable[Any], **options: Unpack[AddOptions]
    ) -> Flow[list[UUID]]:
        return self.send(self.prepare(queue_name, tasks_data, **options))

    def prepare(
        self, queue_name: str, tasks_data: Iterable[Any], **options: Unpack[AddOptions]
    ) -> Prepared:
        """All that can be said of the tasks without the store, which may be asked later."""
        queue = valid_queue_name(queue_name)
        refuse_one(tasks_data)
        if options:
            refuse_unknown(options, AddOptions)
        prepared = self._preparing.prepared(queue, tasks_data, options)
        if prepared.key is not None and len(prepared.task_ids) != 1:
            raise ValueError("a key is that of one task: use add_task_to_queue")
        return prepared

    def send(self, prepared: Prepared) -> Flow[list[UUID]]:
        """Adds them. Delays and deadlines begin now."""
        tasks = yield from self._preparing.sealed(self._store, prepared)
        if prepared.key is None:
            yield from self._store.add(prepared.queue, tasks, prepared.place)
            return prepared.ids
        shared = yield from self._store.share(
            prepared.queue, tasks[0], prepared.key, prepared.place
        )
        return [ids.to_uuid(shared)]

    def call(
        self,
        queue_name: str,
        task_data: Any,
        timeout: Duration,
        **options: Unpack[CallOptions],
    ) -> Flow[Any]:
        """
        Listens before it adds, so that not even an immediate answer is missed. A store that lost
        the task is given it again. Of a caller that is interrupted (Ctrl-C, a cancelled coroutine)
        the task is abandoned; of one whose time is up it has expired by itself.
        """
        queue, until = valid_queue_name(queue_name), _until(timeout)
        refuse_unknown(options, CallOptions)
        how = cast(AddOptions, {**options, "expires": timeout})
        if options.get("key") is not None:
            return (yield from self._call_shared(queue, task_data, until, how))
        store = self._bounded(until)
        prepared = self._preparing.prepared(queue, [task_data], how)
        tasks, wanted = (yield from self._preparing.sealed(store, prepared)), prepared.task_ids
        try:
            with Awaited(store, self._wire, queue, wanted, tasks, prepared.place) as awaited:
                yield from awaited.add()
                found = yield from awaited.collect(until)
        except (TaskHelpersError, GeneratorExit):
            raise
        except BaseException:
            yield from self.abandon(queue, wanted)
            raise
        return (yield from self._answer(queue, wanted[0], found[wanted[0]]))

    def _call_shared(self, queue: str, task_data: Any, until: float, how: AddOptions) -> Flow[Any]:
        """
        Waits for the unfinished task of this key, whoever added it. If that one has expired, since
        another caller had less time, or the store lost it, there is a new one.
        """
        store, key = self._bounded(until), digest(how["key"])
        while True:
            begun_at = time.monotonic()
            how["expires"] = max(0.0, until - begun_at)
            prepared = self._preparing.prepared(queue, [task_data], how)
            shared, ours, found = yield from self._share(store, prepared, key, until)
            try:
                [result] = yield from self._delivered(queue, [shared], found)
                return result
            except TaskExpired:
                if ours:
                    raise
            except TaskLost:
                if store.steady_for() > time.monotonic() - begun_at:
                    raise

    def _share(
        self, store: Store, prepared: Prepared, key: bytes, until: float
    ) -> Flow[tuple[bytes, bool, dict[bytes, bytes]]]:
        """The task that there is for the key, whether it is this one, and what became of it."""
        queue = prepared.queue
        [task] = yield from self._preparing.sealed(store, prepared)
        with Awaited(store, self._wire, queue, [task[0]]) as awaited:
            shared = yield from store.share(queue, task, key, prepared.place)
            if shared == task[0]:
                return shared, True, (yield from awaited.collect(until))
        return shared, False, (yield from self._collected(store, queue, [shared], until))

    # --- Reading and waiting

    def get(self, queue_name: str, task_id: UUID | str, delete_data: bool) -> Flow[Any]:
        queue, awaited = valid_queue_name(queue_name), ids.to_bytes(task_id)
        [outcome] = yield from self._store.outcomes(queue, [awaited])
        if outcome is None:
            raise TaskResultDoesNotExist(
                f"task {task_id} has no result in queue {queue}: it has not ended yet, or its "
                "result was read before or has expired"
            )
        found = {awaited: outcome}
        [result] = yield from self._delivered(queue, [awaited], found, delete_data)
        return result

    def wait(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool,
        timeout: Duration | None,
        return_exceptions: bool,
    ) -> Flow[list[Any]]:
        queue, wanted = valid_queue_name(queue_name), ids.all_to_bytes(task_ids)
        until = None if timeout is None else _until(timeout)
        found = yield from self._collected(self._bounded(until), queue, wanted, until)
        return (yield from self._delivered(queue, wanted, found, delete_data, return_exceptions))

    @contextmanager
    def completing(
        self,
        queue_name: str,
        task_ids: Iterable[UUID | str],
        delete_data: bool,
        timeout: Duration | None,
    ) -> Iterator[Callable[[], Flow[list[Task]]]]:
        """
        Gives what makes flows: each returns the results that have come since, [] at the end, and
        deletes those of the flow before: their reader has asked for more.
        """
        queue, wanted = valid_queue_name(queue_name), ids.all_to_bytes(task_ids)
        until = None if timeout is None else _until(timeout)
        with Awaited(self._bounded(until), self._wire, queue, wanted) as awaited:
            looks, read = iter([awaited.look]), list[bytes]()

            def some() -> Flow[list[Task]]:
                for look in looks:  # the first time: they may have ended before anybody listened
                    yield from look()
                yield from self._forget(queue, read)
                found = yield from awaited.collect_some(until)
                results = self._wire.results(queue, found)
                read[:] = _handed_over(found, results) if delete_data else []
                return list(zip(ids.all_to_uuid(found), results, strict=True))

            yield some

    def _collected(
        self, store: Store, queue: str, wanted: Sequence[bytes], until: float | None
    ) -> Flow[dict[bytes, bytes]]:
        """Of tasks that were added before: they may have ended meanwhile."""
        with Awaited(store, self._wire, queue, wanted) as awaited:
            yield from awaited.look()
            return (yield from awaited.collect(until))

    def _bounded(self, until: float | None) -> Store:
        """For whoever does not wait longer: a store that is silent for that long is away."""
        return self._store if until is None else self._store.bounded(until + ANSWER_SECONDS)

    def _delivered(
        self,
        queue: str,
        wanted: Sequence[bytes],
        found: Mapping[bytes, bytes],
        delete_data: bool = True,
        return_exceptions: bool = False,
    ) -> Flow[list[Any]]:
        """
        The results in order, errors as values or raised. What is handed over is deleted, and only
        that: not what cannot be decoded here, and not the results beside an error that is raised.
        """
        ended = {task_id: found[task_id] for task_id in wanted}
        results = self._wire.results(queue, ended)
        if len(ended) < len(wanted):
            result_of = dict(zip(ended, results, strict=True))
            results = [result_of[task_id] for task_id in wanted]
        errors = (at for at, result in enumerate(results) if isinstance(result, TaskHelpersError))
        raised = None if return_exceptions else next(errors, None)
        if delete_data:
            shown = slice(None) if raised is None else slice(raised, raised + 1)
            yield from self._forget(queue, _handed_over(wanted[shown], results[shown]))
        if raised is not None:
            raise results[raised]
        return results

    def _forget(self, queue: str, task_ids: Sequence[bytes], soon: bool = False) -> Flow[None]:
        """
        The results are read: when the store cannot be told soon, they expire by themselves. So do
        those of tasks with a key, which others may still want to read.
        """
        task_ids = list(filterfalse(ids.is_shared, task_ids))
        with suppress(CourierUnavailable):
            yield from self._impatient().forget(queue, task_ids, soon=soon)

    def _answer(self, queue: str, task_id: bytes, outcome: bytes) -> Flow[Any]:
        """The result of a task whose id nobody else knows, or its error."""
        result = self._wire.result_or_error(queue, task_id, outcome)
        if not isinstance(result, DeserializationError):
            yield from self._forget(queue, [task_id], soon=len(outcome) <= SMALL)
        if isinstance(result, TaskHelpersError):
            raise result
        return result

    # --- One task

    def done(self, queue_name: str, task_id: UUID | str) -> Flow[bool]:
        queue = valid_queue_name(queue_name)
        [outcome] = yield from self._store.outcomes(queue, [ids.to_bytes(task_id)])
        return outcome is not None

    def status(self, queue_name: str, task_id: UUID | str) -> Flow[TaskStatus]:
        return self._store.status(valid_queue_name(queue_name), ids.to_bytes(task_id))

    def cancel(self, queue_name: str, task_id: UUID | str) -> Flow[bool]:
        queue, wanted = valid_queue_name(queue_name), ids.to_bytes(task_id)
        return self._cancel(self._store, queue, wanted, "the task was cancelled")

    def abandon(self, queue: str, task_ids: Iterable[bytes]) -> Flow[None]:
        """
        Nobody waits for these any more: those that no worker has taken never run. It takes about a
        second at the most and raises nothing, since whoever gives up has an error of its own.
        """
        store = self._impatient()
        with suppress(TaskHelpersError):
            for task_id in task_ids:
                yield from self._cancel(store, queue, task_id, "its caller has abandoned the task")

    def _impatient(self) -> Store:
        return self._store.bounded(time.monotonic() + IMPATIENT_SECONDS)

    def _cancel(self, store: Store, queue: str, task_id: bytes, why: str) -> Flow[bool]:
        outcome = self._wire.failure(queue, task_id, TaskCancelled(why), 0)
        return store.cancel(queue, task_id, outcome)


def _handed_over(task_ids: Iterable[bytes], results: Iterable[Any]) -> list[bytes]:
    """All but what cannot be decoded here."""
    pairs = zip(task_ids, results, strict=True)
    return [i for i, result in pairs if not isinstance(result, DeserializationError)]


def _until(timeout: Duration) -> float:
    return time.monotonic() + seconds(timeout, "timeout")
