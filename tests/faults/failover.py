"""The master dies, or is told to step down: callers and workers follow Sentinel to the next one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import redis
from redis.sentinel import Sentinel

from task_helpers.couriers.redis import RedisClientTaskCourier, RedisWorkerTaskCourier
from task_helpers.exceptions import TaskLost
from tests.faults.context import Context, Field
from tests.faults.load import Load, named, quietly
from tests.faults.report import Figure, at_least, none, told
from tests.faults.worker import FaultyWorker, Job
from tests.support.servers import RedisServer
from tests.support.waiting import in_thread, wait_until

MASTER = "ours"
PATIENCE = 30.0


def run(context: Context) -> list[Figure]:
    counts = context.scaled((1,), (1, 3))
    return [
        figure
        for count in counts
        for kind in (_crash, _step_down)
        for figure in failovers(context, count, kind)
    ]


def failovers(
    context: Context, sentinels: int, change: Callable[[Group, Field], None]
) -> list[Figure]:
    times, slowest = context.scaled(1, 5), 0.0
    with ExitStack() as stack:
        stack.enter_context(quietly())
        group = stack.enter_context(Group.running(context, sentinels))
        field = stack.enter_context(context.field(server=group.servers[0]))
        field.client = RedisClientTaskCourier(group.connection())
        workers = [stack.enter_context(_working(group, field)) for _ in range(2)]
        with Load(field) as load:
            for _ in range(times):
                field.wait_for_executions(len(field.ledger) + 200)
                group.wait_until_in_step()
                began = time.monotonic()
                change(group, field)
                slowest = max(slowest, time.monotonic() - began)
            exits = sum(run.done() for run in workers)
        return named(
            f"{times} × {NAMES[change]}, {sentinels} sentinel{'s' * (sentinels > 1)}",
            [
                *load.waiters(),
                none("awaited tasks neither answered nor named lost", _unnamed(field)),
                none("worker exits", exits),
                at_least("tasks performed", len(field.ledger), 1),
                told("longest time until tasks were performed again", slowest, "s"),
            ],
        )


def _crash(group: Group, field: Field) -> None:
    before = len(field.ledger)
    dead = group.kill_master()
    _wait_for_work(group, field, dead, before)
    dead.start()  # as a replica of the new one: Sentinel tells it


def _step_down(group: Group, field: Field) -> None:
    """The old master stays, as a replica that takes no writes."""
    before, old = len(field.ledger), group.master()
    group.switch()
    _wait_for_work(group, field, old, before)


NAMES = {_crash: "master killed", _step_down: "master told to step down"}


def _wait_for_work(group: Group, field: Field, old: RedisServer, before: int) -> None:
    wait_until(lambda: group.master_port() not in (0, old.port), PATIENCE)
    wait_until(lambda: len(field.ledger) > before + 50, PATIENCE)


def _unnamed(field: Field) -> int:
    errors = [result for result in field.seen.values() if isinstance(result, Exception)]
    return sum(not isinstance(error, TaskLost) for error in errors)


@contextmanager
def _working(group: Group, field: Field) -> Iterator[object]:
    job = Job(
        kind="redis",
        address=None,
        queue=field.queue,
        ledger=str(field.ledger.path),
        batch=50,
        task_seconds=0.001,
    )
    courier = RedisWorkerTaskCourier(group.connection(), lease=job.lease)
    worker = FaultyWorker(courier, job=job, queue_name=job.queue, max_tasks_per_iteration=job.batch)
    run = in_thread(worker.perform)
    yield run
    worker.stop()
    run.result(PATIENCE)


class Group:
    """
    A master, a replica and their sentinels.

    - servers - the master is one of them.
    """

    def __init__(self, servers: list[RedisServer], sentinels: list[RedisServer]) -> None:
        self.servers = servers
        self._sentinels = sentinels

    @classmethod
    @contextmanager
    def running(cls, context: Context, count: int) -> Iterator[Group]:
        with ExitStack() as stack:
            settings = {"appendonly": "yes", "repl_diskless_sync_delay": "0"}
            servers = [stack.enter_context(context.server(**settings)) for _ in range(2)]
            with servers[1].client() as replica:
                replica.replicaof("127.0.0.1", str(servers[0].port))
            sentinels = [
                stack.enter_context(_sentinel(context, servers[0].port, count // 2 + 1))
                for _ in range(count)
            ]
            group = cls(servers, sentinels)
            group.wait_until_in_step()
            yield group

    def connection(self) -> redis.Redis:
        """As users get it."""
        master: redis.Redis = self._asked().master_for(MASTER)
        return master

    def _asked(self) -> Sentinel:
        return Sentinel([("127.0.0.1", sentinel.port) for sentinel in self._sentinels])

    def master_port(self) -> int:
        """0: none is known."""
        try:
            return int(self._asked().discover_master(MASTER)[1])
        except redis.ConnectionError:
            return 0

    def wait_until_in_step(self) -> None:
        """The replica has what the master has, and every sentinel knows all others."""
        wait_until(self._in_step, PATIENCE)

    def _in_step(self) -> bool:
        with self._replica().client() as replica:
            linked = replica.info("replication").get("master_link_status") == "up"
        return linked and all(map(self._knows_all, self._sentinels))

    def _replica(self) -> RedisServer:
        port = self.master_port()
        return next(server for server in self.servers if server.port != port)

    def _knows_all(self, sentinel: RedisServer) -> bool:
        with sentinel.client() as connection:
            [state] = [s for s in connection.sentinel_masters().values() if s["name"] == MASTER]
        others = len(self._sentinels) - 1
        return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == others)

    def master(self) -> RedisServer:
        port = wait_until(self.master_port, PATIENCE)
        return next(server for server in self.servers if server.port == port)

    def kill_master(self) -> RedisServer:
        dead = self.master()
        dead.kill()
        return dead

    def switch(self) -> None:
        wait_until(self._switched, PATIENCE)

    def _switched(self) -> bool:
        """Sentinel refuses for a while after the last time."""
        try:
            with self._sentinels[0].client() as sentinel:
                return bool(sentinel.execute_command("SENTINEL", "FAILOVER", MASTER))
        except redis.ResponseError:
            return False


def _sentinel(context: Context, master_port: int, quorum: int) -> RedisServer:
    folder = context.folder("sentinel")
    file = folder / "sentinel.conf"
    file.write_text(
        f"sentinel monitor {MASTER} 127.0.0.1 {master_port} {quorum}\n"
        f"sentinel down-after-milliseconds {MASTER} 500\n"
        f"sentinel failover-timeout {MASTER} 1000\n"
    )
    return RedisServer(folder, file=file, sentinel=True)
