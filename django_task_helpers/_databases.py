"""How workers live with Django's databases: fresh connections, calls that do all or nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from django_task_helpers.conf import NO_DATABASE, named_database
from task_helpers.exceptions import InvalidFunction
from task_helpers.tasks import Task
from task_helpers.workers.base import BaseWorker
from task_helpers.workers.base_async import BaseAsyncWorker
from task_helpers.workers.classic import ClassicWorker
from task_helpers.workers.threaded import ThreadedWorker

AnyCoroutine = Coroutine[Any, Any, Any]


def live_among_databases(worker: BaseWorker) -> None:
    """
    Has the worker look after its connections, in whichever threads it works. Raises `ValueError`
    when its `atomic` names a database that is not there.
    """
    if isinstance(worker, BaseAsyncWorker):
        setattr(worker, "call_in_thread", fresh_connections()(worker.call_in_thread))  # noqa: B010
        if inspect.iscoroutinefunction(worker.perform_tasks):
            setattr(worker, "perform_tasks", batch_among_databases(worker))  # noqa: B010
            return
    setattr(worker, "perform_tasks", among_databases(worker))  # noqa: B010
    if isinstance(worker, ThreadedWorker):
        setattr(worker, "destroy_thread", leaving_databases(worker))  # noqa: B010
    if isinstance(worker, ClassicWorker):
        setattr(worker, "perform_coroutine", async_among_databases(worker))  # noqa: B010


def among_databases(worker: BaseWorker) -> Callable[[list[Task]], Any]:
    """
    The worker's `perform_tasks` with fresh connections, each call a transaction on the databases
    that the worker's `atomic` names. Raises `ValueError` when it names one that is not there.
    """
    perform_tasks, aliases = worker.perform_tasks, atomic_aliases(worker)

    @fresh_connections()
    def perform(tasks: list[Task]) -> Any:
        with atomic_on(aliases):
            returned = perform_tasks(tasks)
            results = None if returned is None else list(returned)  # a generator works here
            if any(map(_is_spoiled, aliases)):
                raise _error_among(results)
        return results

    return perform


def batch_among_databases(worker: BaseAsyncWorker) -> Callable[[list[Task]], AnyCoroutine]:
    """
    The worker's coroutine `perform_tasks`, each batch as in `async_among_databases`. Raises
    `ValueError` when the worker is `atomic`, or would have to be to perform a batch in parts: a
    transaction is one thread's.
    """
    if getattr(worker, "atomic", False):
        raise ValueError("atomic is for a plain perform_tasks: a coroutine has no transaction")
    if worker.on_batch_error != "fail" and not hasattr(worker, "atomic"):
        raise ValueError(
            f"on_batch_error = {worker.on_batch_error!r} repeats calls, and a coroutine has no "
            "transaction that undoes the first: write a plain perform_tasks, or set atomic = False "
            "where a repeated call does no harm"
        )
    perform_tasks = worker.perform_tasks

    async def perform(tasks: list[Task]) -> Any:
        return await _in_a_thread_of_its_own(perform_tasks(tasks))

    return perform


def async_among_databases(worker: ClassicWorker) -> Callable[[AnyCoroutine], AnyCoroutine]:
    """
    The worker's `perform_coroutine` with a thread for the database work of each coroutine, whose
    connections are closed at last: in a thread that all share, one that broke would stay broken.
    Of a worker that is `atomic` it raises `InvalidFunction`.
    """
    perform_coroutine, is_atomic = worker.perform_coroutine, bool(atomic_aliases(worker))

    async def perform(coroutine: AnyCoroutine) -> Any:
        if is_atomic:
            coroutine.close()
            raise InvalidFunction(
                "a coroutine has no transaction, and the worker of this one is atomic: make it a "
                "plain function, or give it a queue of its own"
            )
        return await _in_a_thread_of_its_own(perform_coroutine(coroutine))

    return perform


async def _in_a_thread_of_its_own(coroutine: AnyCoroutine) -> Any:
    async with ThreadSensitiveContext():
        try:
            return await coroutine
        finally:
            await sync_to_async(connections.close_all)()


def leaving_databases(worker: ThreadedWorker) -> Callable[[], None]:
    """The worker's `destroy_thread`, which closes the connections of its thread at last."""
    destroy_thread = worker.destroy_thread

    def destroy() -> None:
        try:
            destroy_thread()
        finally:
            connections.close_all()

    return destroy


def atomic_aliases(worker: BaseWorker) -> list[str]:
    """
    `atomic` of the worker: True is the default database, else it names one or several. Without it,
    calls that may be repeated in parts are atomic.
    """
    atomic: Any = getattr(worker, "atomic", worker.on_batch_error != "fail" and _has_database())
    if isinstance(atomic, bool):
        return [DEFAULT_DB_ALIAS] if atomic else []
    if not isinstance(atomic, Iterable):
        raise ValueError(f"atomic must be True, False or aliases of databases, not {atomic!r}")
    aliases = [atomic] if isinstance(atomic, str) else atomic
    return [named_database(alias, "atomic") for alias in aliases]


def _is_spoiled(alias: str) -> bool:
    """Whether the transaction undoes all, though no error is raised that says so."""
    connection = connections[alias]
    return connection.get_rollback() or not connection.is_usable()


def _error_among(results: Any) -> Exception:
    """Why a transaction is spoiled: by an error that was caught and, hopefully, given as result."""
    pairs = (item for item in results or () if isinstance(item, (tuple, list)) and len(item) == 2)
    errors = [result for _, result in pairs if isinstance(result, Exception)]
    unexplained = transaction.TransactionManagementError(
        "an error of the database was caught inside of the transaction, which undoes all that was "
        "done there: let it be raised, or put what may fail into an atomic() block of its own"
    )
    return min(errors, key=lambda error: not isinstance(error, DatabaseError), default=unexplained)


def _has_database() -> bool:
    return connections[DEFAULT_DB_ALIAS].vendor != NO_DATABASE


@contextmanager
def atomic_on(aliases: list[str]) -> Iterator[None]:
    """A transaction on each of these databases; a savepoint where one is open already."""
    with ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(transaction.atomic(using=alias))
        yield


@contextmanager
def fresh_connections() -> Iterator[None]:
    """
    Around a batch: closes database connections that broke or are older than CONN_MAX_AGE, and
    forgets logged queries, as Django does around a request. A connection in the middle of
    `atomic()` is left alone. Also a decorator, for workers that are not made by `build_worker`:

        @fresh_connections()
        def perform_tasks(self, tasks): ...
    """
    _refresh_connections()
    try:
        yield
    finally:
        _refresh_connections()


def _refresh_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.queries_log.clear()
            connection.close_if_unusable_or_obsolete()
