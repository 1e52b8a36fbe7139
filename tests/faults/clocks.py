"""Clients and workers whose wall clocks are wrong: all that counts is read on Redis' clock."""

from __future__ import annotations

from contextlib import ExitStack

from task_helpers.exceptions import TaskExpired
from tests.faults.context import PATIENCE, Context, Field
from tests.faults.load import last, named, unharmed
from tests.faults.programs import Program
from tests.faults.report import Figure, at_least, none
from tests.faults.skewed import clock_off_by
from tests.faults.worker import Job, f
from tests.support.waiting import wait_until

HOUR = 3600.0
LEASE = 1.0
OFFSETS = ((HOUR, 0.0), (-HOUR, 0.0), (0.0, HOUR), (0.0, -HOUR), (HOUR, -HOUR), (-HOUR, HOUR))


def run(context: Context) -> list[Figure]:
    """The skews of the client and of one of two workers; the other worker's clock is right."""
    offsets = context.scaled(OFFSETS[-2:], OFFSETS)
    return [figure for pair in offsets for figure in skewed(context, *pair)]


def skewed(context: Context, client: float, worker: float) -> list[Figure]:
    count = context.scaled(500, 5_000)
    with ExitStack() as stack:
        field = stack.enter_context(context.field(lease=LEASE, batch=50, batch_seconds=0.01))
        job = Job(
            kind=field.server.kind,
            address=field.server.address,
            queue=field.queue,
            ledger=str(field.ledger.path),
            lease=LEASE,
            batch=50,
            batch_seconds=0.01,
        )
        arguments = ("tests.faults.skewed", str(worker), job.to_json())
        with clock_off_by(client):
            expired = _expires_in_time(field)
            late = stack.enter_context(Program(field.log, *arguments))
            field.start()
            wait_until(lambda: _present(field) == 2, PATIENCE)
            field.await_results(field.add(count))
            field.await_results(field.add(50, delay=0.3))
            answered = sum(_calls(field) for _ in range(20))
            hung = field.join()
            code = late.stop()
            figures = [
                none("waiters that hung", hung),
                unharmed(field),
                none("executions beyond the first", field.ledger.duplicates()),
                at_least("tasks performed", len(field.ledger), count),
                none("calls not answered", 20 - answered),
                none("deadlines missed", 2 - expired),
                none("exit code", code),
            ]
        hours = f"client {client / HOUR:+.0f} h, worker {worker / HOUR:+.0f} h"
        return named(hours, figures)


def _present(field: Field) -> int:
    """How many workers have said that they are there."""
    return len(field.client.get_queue_stats(field.queue).workers)


def _calls(field: Field) -> bool:
    """The timeout of a call is its task's deadline."""
    answer = field.client.call(field.queue, 5, timeout=20)
    return bool(answer[0] == f(5))


def _expires_in_time(field: Field) -> int:
    """One task passed its deadline before any worker came, another did not."""
    add = field.client.add_task_to_queue
    passed = add(field.queue, 1, expires=0.05)
    valid = add(field.queue, 2, expires=600)
    last(0.2)
    worker = field.start()
    ends = field.client.bulk_wait_for_task_results(
        field.queue, [passed, valid], timeout=20, return_exceptions=True
    )
    worker.stop()
    return int(isinstance(ends[0], TaskExpired)) + int(not isinstance(ends[1], Exception))
