"""Tasks that are added when a transaction commits, and what cannot be waited for inside of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID
from weakref import WeakSet

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from django_task_helpers.conf import named_database
from task_helpers import ids
from task_helpers.exceptions import TaskHelpersError, WaitInTransactionError
from task_helpers.plurals import counted


class Adding:
    """
    What `transaction.on_commit` calls: adds tasks that have their ids already.

    - add - adds them all.
    """

    def __init__(self, queue: str, task_ids: list[UUID], add: Callable[[], object]) -> None:
        self._queue = queue
        self._add = add
        self.task_ids = task_ids
        self.is_over = False

    def __call__(self) -> None:
        self.is_over = True
        try:
            self._add()
        except TaskHelpersError as error:
            tasks = counted(len(self.task_ids), "task")
            error.add_note(
                f"{tasks} may be missing in queue {self._queue}: the transaction that was to add "
                "them is committed"
            )
            raise


_alive = WeakSet[Adding]()
"""Those that a transaction may still call: mostly none, and then nobody has to look for them."""


def database_of(on_commit: bool | str) -> str:
    """The alias of the database whose commit is meant; `ValueError` for one that is none."""
    alias = DEFAULT_DB_ALIAS if on_commit is True else on_commit
    if not isinstance(alias, str):
        raise TypeError(
            f"on_commit must be True, False or the alias of a database, not {on_commit!r:.100}"
        )
    return named_database(alias, "on_commit")


def add_on_commit(alias: str, adding: Adding) -> None:
    """At once where no transaction is open."""
    _alive.add(adding)
    transaction.on_commit(adding, using=alias)


def refuse_key(options: Mapping[str, Any]) -> None:
    """Raises `ValueError` for a task that may turn out to be another one, whose id is not known."""
    if options.get("key") is not None:
        raise ValueError(
            "on_commit gives an id at once, and which task has the key shows when it is added: use "
            "transaction.on_commit(lambda: courier.add_task_to_queue(..., key=...))"
        )


def refuse_on_commit(options: Mapping[str, Any]) -> None:
    """Raises `TypeError` for a `call` that should add its task later."""
    if "on_commit" in options:
        raise TypeError(
            "call waits for a result, which cannot come before the commit: use "
            "add_task_to_queue(..., on_commit=True), and wait after the atomic() block"
        )


def refuse_call(using: str | None) -> None:
    """
    Raises `WaitInTransactionError` in a `TestCase`, to which the blocks belong that `refuse_wait`
    lets pass: the thread that is to wait is the only one that sees the task, unless its connection
    is shared.
    """
    if using is None:
        return
    connection: Any = connections[using]
    if connection.in_atomic_block and not connection.allow_thread_sharing:
        raise WaitInTransactionError(
            f"a TestCase is a transaction on database {using!r}, and no worker sees the task: use "
            "a TransactionTestCase, or add the task, perform it by run_queue and read its result"
        )


def may_refuse(using: str | None) -> bool:
    """Whether `refuse_wait` may find something, in any thread."""
    return using is not None or bool(_alive)


def refuse_wait(using: str | None, task_ids: Iterable[UUID | str]) -> None:
    """
    Raises `WaitInTransactionError` for what cannot end well in this thread.

    - using - alias of the database that holds the tasks, if one does.
    """
    if using is not None:
        _refuse_inside(using)
    uncommitted = {task_id.bytes for adding in _of_this_thread() for task_id in adding.task_ids}
    for task_id in task_ids if uncommitted else ():
        if ids.to_bytes(task_id) in uncommitted:
            raise WaitInTransactionError(
                f"task {task_id} is added when the transaction commits, and has no result before: "
                "wait after the atomic() block, or answer with the id (in a TestCase add it by "
                "captureOnCommitCallbacks(execute=True))"
            )


def _refuse_inside(alias: str) -> None:
    """No worker could see the task. Blocks of a `TestCase` do not count: they never commit."""
    connection: Any = connections[alias]
    blocks = connection.atomic_blocks
    if not (all(block._from_testcase for block in blocks) if blocks else _commits(connection)):
        raise WaitInTransactionError(
            f"a transaction is open on database {alias!r}, and no worker sees the task before it "
            "commits: wait after the atomic() block, or add the task now and answer with its id (a "
            "view under ATOMIC_REQUESTS gets out by @transaction.non_atomic_requests)"
        )


def _commits(connection: Any) -> bool:
    """Whether each statement is its own transaction. The settings say it until it is open."""
    is_open = connection.connection is not None
    return bool(connection.autocommit if is_open else connection.settings_dict["AUTOCOMMIT"])


def _of_this_thread() -> Iterator[Adding]:
    for connection in connections.all(initialized_only=True):
        waiting: Any = connection.run_on_commit  # (savepoints, function, robust)
        for _, function, _ in waiting:
            if isinstance(function, Adding) and not function.is_over:
                yield function
