"""Workers whose way to Redis is broken, while others still reach it."""

from __future__ import annotations

from contextlib import ExitStack

from task_helpers.couriers._redis.connections import SOCKET_TIMEOUT
from tests.faults.context import Context, Field
from tests.faults.load import Load, last, named, unharmed
from tests.faults.proxy import Proxy
from tests.faults.report import Figure, at_most, none, told
from tests.support.waiting import wait_until

LEASE = 2.0
BATCH = 20
SLACK = 5.0
"""Seconds beyond the socket timeout in which a worker must have said that it is cut off."""


def run(context: Context) -> list[Figure]:
    leases = context.scaled((0.5, 3.0), (0.5, 1.0, 3.0))
    holes = [figure for count in leases for figure in black_hole(context, count)]
    return [*holes, *bad_network(context)]


def black_hole(context: Context, leases: float) -> list[Figure]:
    """One of two workers is cut off with a batch in its hands, and comes back."""
    with ExitStack() as stack:
        field = stack.enter_context(context.field(lease=LEASE, batch=BATCH, retry_seconds=0.2))
        proxy = stack.enter_context(Proxy(field.server.port))
        cut_off = field.start(address=proxy.port, batch_seconds=0.5)
        field.await_results(field.add(BATCH))
        field.wait_for_executions(BATCH)
        other = field.start()
        proxy.hole()
        last(leases * LEASE)
        if leases * LEASE > SOCKET_TIMEOUT:
            wait_until(lambda: field.logged("WARNING"), SLACK)
        proxy.pass_on()
        hung = field.join()
        performed_twice = field.ledger.duplicates()
        other.stop()
        hung += _works(field, cut_off.pid)
        at_most_twice = 0 if leases < 1 else BATCH
        figures = [
            none("waiters that hung", hung),
            at_most("executions beyond the first", performed_twice, at_most_twice),
            unharmed(field),
            told("results refused because they came too late", field.logged("too late")),
        ]
        return named(f"worker cut off for {leases:g} leases", figures)


def _works(field: Field, pid: int) -> int:
    """The worker that was cut off goes on by itself. How many waiters hung."""
    before = len(field.ledger)
    field.await_results(field.add(BATCH))
    hung = field.join()
    return hung + sum(execution.pid != pid for execution in field.ledger.executions(before))


def bad_network(context: Context) -> list[Figure]:
    """Connections are cut, closed on one side, slow and silent, at random."""
    with ExitStack() as stack:
        field = stack.enter_context(context.field(lease=LEASE))
        proxy = stack.enter_context(Proxy(field.server.port))
        with Load(field) as load:
            for _ in range(2):
                field.start(address=proxy.port, batch=50, task_seconds=0.001)
            field.wait_for_executions(100)
            for _ in range(context.scaled(20, 200)):
                _worsen(context, proxy)
                last(context.random.uniform(0, 0.2))
                proxy.pass_on()
            field.wait_for_executions(len(field.ledger) + 100)
        return named("bad network", load.undisturbed())


def _worsen(context: Context, proxy: Proxy) -> None:
    verb = context.random.choice(("cut", "hole", "half_close", "delay"))
    if verb == "delay":
        proxy.delay(context.random.uniform(0, 0.05))
    else:
        getattr(proxy, verb)()
