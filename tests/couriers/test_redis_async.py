"""Awaitable couriers on Redis: their connections, their loops, and who is cancelled."""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from task_helpers.couriers._redis.async_connections import AsyncConnector
from task_helpers.couriers._redis.async_hints import LoopSubscription
from task_helpers.couriers._redis.connections import Connector
from task_helpers.couriers._redis.pipeline import Pipeline
from task_helpers.couriers.redis_async import RedisAsyncClientWorkerTaskCourier
from task_helpers.exceptions import CourierUnavailable
from tests.support.servers import RedisServer
from tests.support.waiting import Stopwatch, wait_until

QUEUE = "async"
NOBODY = "01890000-0000-7000-8000-000000000000"
Courier = RedisAsyncClientWorkerTaskCourier
Connections = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def courier(redis_url: str, prefix: str) -> Courier:
    client = redis.asyncio.Redis.from_url(redis_url, client_name=prefix)
    return Courier(client, prefix=prefix)


@pytest.fixture
def connections(redis_connection: redis.Redis, prefix: str) -> Connections:
    def found() -> list[dict[str, Any]]:
        return [c for c in redis_connection.client_list() if c["name"] == prefix]

    return found


@pytest.fixture(autouse=True)
def no_noise() -> Iterator[None]:
    """Nothing is left to the collector, which complains."""
    gc.freeze()  # what other tests left is not this one's, and takes long to search
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    gc.unfreeze()
    assert [str(w.message) for w in caught if issubclass(w.category, ResourceWarning)] == []


async def serve(courier: Courier, count: int) -> None:
    """Answers so many tasks with what they brought."""
    while count > 0:
        tasks = await courier.bulk_wait_for_tasks(QUEUE, 1_000, timeout=10)
        await courier.bulk_return_task_results(QUEUE, tasks)
        count -= len(tasks)


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- Connections


def test_ten_thousand_waiting_coroutines_hold_three_connections_and_are_all_answered(
    courier: Courier, redis_connection: redis.Redis, prefix: str, connections: Connections
) -> None:
    count, seen = 10_000, list[int]()

    async def all_are_added() -> bool:
        return (await courier.get_queue_stats(QUEUE)).waiting == count

    async def main() -> list[int]:
        calls = [asyncio.create_task(courier.call(QUEUE, n, timeout=60)) for n in range(count)]
        await until(all_are_added)
        seen.append(len(connections()))
        await serve(Courier(redis_connection, prefix=prefix), count)
        results = await asyncio.gather(*calls)
        seen.append(len(connections()))
        return results

    assert asyncio.run(main()) == list(range(count))
    assert max(seen) <= 3
    wait_until(lambda: connections() == [])


def test_each_loop_has_connections_of_its_own_that_end_with_it(
    courier: Courier, connections: Connections
) -> None:
    async def main() -> list[int]:
        calls = [courier.call(QUEUE, n, timeout=5) for n in range(2)]
        *results, _ = await asyncio.gather(*calls, serve(courier, 2))
        assert connections()
        return results

    for _ in range(3):
        assert asyncio.run(main()) == [0, 1]
        wait_until(lambda: connections() == [])


def test_a_loop_that_just_closes_leaves_no_connection(
    courier: Courier, connections: Connections
) -> None:
    # given a loop that was closed without ending its generators
    loop = asyncio.new_event_loop()
    loop.run_until_complete(courier.add_task_to_queue(QUEUE, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, of its own transport
        loop.close()
        # when the courier is used in another one
        assert asyncio.run(courier.get_tasks(QUEUE, 1))
        gc.collect()
    # then none of its connections is left
    wait_until(lambda: connections() == [])


def test_a_closed_courier_connects_anew(courier: Courier, connections: Connections) -> None:
    async def none_is_left() -> bool:
        return connections() == []

    async def main() -> None:
        await courier.add_task_to_queue(QUEUE, 1)
        await courier.close()
        await until(none_is_left)
        assert await courier.get_tasks(QUEUE)

    asyncio.run(main())


GIVEN = {
    "a blocking client": lambda url: redis.Redis.from_url(url),
    "its pool": lambda url: redis.Redis.from_url(url).connection_pool,
    "the pool of an awaitable client": lambda url: redis.asyncio.ConnectionPool.from_url(url),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_the_settings_of_any_client_are_taken(given: Any, redis_url: str, prefix: str) -> None:
    courier = Courier(given(redis_url), prefix=prefix)
    task_id = asyncio.run(courier.add_task_to_queue(QUEUE, 1))
    with redis.Redis.from_url(redis_url) as server:
        assert server.hexists(f"{prefix}:{{{QUEUE}}}:m", task_id.bytes)


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a redis\.Redis or a pool"):
        Courier("redis://localhost")


def test_a_unix_socket_a_password_and_a_database(tmp_path: Path) -> None:
    path = str(tmp_path / "redis.sock")
    settings: Any = {"unix_socket_path": path, "password": "sesame", "db": 3}
    with RedisServer(tmp_path, unixsocket=path, requirepass="sesame"):
        courier = Courier(redis.asyncio.Redis(**settings))

        async def main() -> list[Any]:
            return await asyncio.gather(courier.call(QUEUE, 5, timeout=5), serve(courier, 1))

        assert asyncio.run(main()) == [5, None]
        with redis.Redis(**settings) as server:
            assert server.dbsize() > 0


def test_an_unreachable_redis_is_a_named_error() -> None:
    courier = Courier(redis.Redis(port=1), retry_seconds=0.2)

    async def main() -> list[Any]:
        adds = (courier.add_task_to_queue(QUEUE, n) for n in range(100))
        return await asyncio.gather(*adds, return_exceptions=True)

    assert {type(error) for error in asyncio.run(main())} == {CourierUnavailable}


def test_connections_that_are_cut_are_made_anew(
    courier: Courier, redis_connection: redis.Redis, connections: Connections
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)

    async def cut() -> None:
        while True:
            await asyncio.sleep(dice.uniform(0.01, 0.05))
            for client in connections():
                redis_connection.client_kill_filter(_id=client["id"])

    async def main() -> list[int]:
        cutting = asyncio.create_task(cut())
        calls = [courier.call(QUEUE, n, timeout=30) for n in range(200)]
        *results, _ = await asyncio.gather(*calls, serve(courier, 200))
        cutting.cancel()
        return results

    assert asyncio.run(main()) == list(range(200))


def test_a_connection_that_is_lost_before_it_is_used_is_said_at_once(
    redis_connection: redis.Redis,
) -> None:
    """Nobody tells of it twice: whoever asked it then would wait for nothing."""

    async def main() -> None:
        writer = await AsyncConnector(Connector(redis_connection)).connect()
        pipeline = Pipeline(writer)
        pipeline.close()
        await asyncio.wait_for(asyncio.shield(pipeline._gone), 5)
        watch = Stopwatch()
        with pytest.raises(redis.ConnectionError):
            await pipeline.exchange([("PING",)], within=5)
        assert watch.seconds < 1

    asyncio.run(main())


def test_a_subscription_on_a_lost_connection_is_said_at_once(redis_connection: redis.Redis) -> None:
    async def main() -> None:
        writer = await AsyncConnector(Connector(redis_connection)).connect()
        writer.transport.abort()
        await writer.wait_closed()  # so the loss was told before anybody listens
        subscription = LoopSubscription(writer, print, lambda: None)
        with pytest.raises(redis.ConnectionError):
            await asyncio.wait_for(subscription.begin(b"channel"), 5)
        subscription.close()

    asyncio.run(main())


# --- Patience and cancellation


def test_a_late_reply_is_not_taken_for_that_of_another_command(courier: Courier) -> None:
    async def main() -> None:
        await courier.add_task_to_queue(QUEUE, 0)
        for _ in range(50):
            # given a command that is cancelled while it is on its way
            late = asyncio.create_task(courier.get_queue_stats(QUEUE))
            await asyncio.sleep(0)
            late.cancel()
            # when others follow at once
            # then their replies are theirs
            assert await courier.check_for_done(QUEUE, NOBODY) is False
            with suppress(asyncio.CancelledError):
                await late

    asyncio.run(main())


def test_a_cancelled_take_leaves_its_tasks_to_others(courier: Courier) -> None:
    async def main() -> None:
        # given a worker that waits
        waiting = asyncio.create_task(courier.bulk_wait_for_tasks(QUEUE, 10))
        await asyncio.sleep(0.05)
        # when it is cancelled at the very moment at which tasks come
        adding = asyncio.create_task(courier.bulk_add_tasks_to_queue(QUEUE, range(10)))
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        await adding
        # then another one gets them
        assert len(await courier.bulk_wait_for_tasks(QUEUE, 10, timeout=5)) == 10

    asyncio.run(main())


def test_a_cancellation_is_never_swallowed(courier: Courier) -> None:
    async def main() -> None:
        for steps in range(100):  # also while it connects, which takes some twenty steps
            taking = asyncio.create_task(courier.bulk_wait_for_tasks(QUEUE, 10))
            for _ in range(steps % 25):
                await asyncio.sleep(0)
            taking.cancel()
            async with asyncio.timeout(2):
                with pytest.raises(asyncio.CancelledError):
                    await taking

    asyncio.run(main())


def test_a_take_that_was_answered_when_it_is_cancelled_gives_back(courier: Courier) -> None:
    async def main() -> None:
        await courier.bulk_add_tasks_to_queue(QUEUE, range(10))
        for steps in range(1, 40):
            taking = asyncio.create_task(courier.get_tasks(QUEUE, 10))
            for _ in range(steps):
                await asyncio.sleep(0)
            taking.cancel()
            with suppress(asyncio.CancelledError):
                await courier.release_tasks(QUEUE, [i for i, _ in await taking])
            assert (await courier.get_queue_stats(QUEUE)).waiting == 10

    asyncio.run(main())


def test_a_cancelled_call_abandons_its_task(courier: Courier) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await courier.call(QUEUE, 1, timeout=60)
        assert await courier.get_tasks(QUEUE) == []
        assert (await courier.get_queue_stats(QUEUE)).cancelled == 1
        assert not courier._store.lookout

    asyncio.run(main())


def test_who_leads_after_a_cancelled_one_listens_anew(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a call that is cancelled while Redis has not heard yet that it listens
    begin, begun = LoopSubscription.begin, asyncio.Event()

    async def never(self: LoopSubscription, channel: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def main() -> Any:
        monkeypatch.setattr(LoopSubscription, "begin", never)
        first = asyncio.create_task(courier.call(QUEUE, 1, timeout=60))
        await begun.wait()
        monkeypatch.setattr(LoopSubscription, "begin", begin)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        # when another one calls, then it listens over a connection of its own
        second = asyncio.create_task(courier.call(QUEUE, 2, timeout=5))
        hints = courier._transport._hints._hints.here()
        async with asyncio.timeout(5):
            while not (hints._subscription and hints._subscription._begun.done()):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await serve(courier, 1)
        return await second

    assert asyncio.run(main()) == 2


def test_a_storm_of_cancellations_loses_nothing_and_leaves_nobody_waiting(
    courier: Courier,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, patient, ended = random.Random(seed), list[int](), asyncio.Event()

    async def call(number: int) -> None:
        patience = dice.choice([dice.uniform(0, 0.3), 60])
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                assert await courier.call(QUEUE, number, timeout=60) == number
        if patience == 60:
            patient.append(number)

    async def work() -> None:
        """Takes that are cancelled at random moments; what was taken is answered."""
        while not ended.is_set():
            take = asyncio.create_task(courier.bulk_wait_for_tasks(QUEUE, 20, timeout=5))
            await asyncio.wait([take], timeout=dice.uniform(0, 0.02))
            take.cancel()
            with suppress(asyncio.CancelledError, TimeoutError):
                await courier.bulk_return_task_results(QUEUE, await take)

    async def main() -> Any:
        workers = asyncio.gather(*(work() for _ in range(3)))
        await asyncio.gather(*(call(number) for number in range(600)))
        ended.set()
        await workers
        assert not courier._store.lookout
        return await courier.get_queue_stats(QUEUE)

    watch = Stopwatch()
    stats = asyncio.run(main())
    # then who did not give up was answered, long before a lease could run out
    assert patient
    assert watch.seconds < 25
    assert (stats.waiting, stats.running, stats.dead) == (0, 0, 0)
