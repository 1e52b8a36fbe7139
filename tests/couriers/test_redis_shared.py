"""One connection for all threads: what gathers while one waits goes in the next packet."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

import pytest
import redis

from task_helpers.couriers._redis import shared as shared_module
from task_helpers.couriers._redis.commands import Behind
from task_helpers.couriers._redis.connections import Connector
from task_helpers.couriers._redis.link import Link
from task_helpers.couriers._redis.shared import Shared
from tests.support.waiting import Stopwatch, in_thread, wait_until

ECHO = [("ECHO", "hello")]


class HeldLink:
    """Lets replies pass when the test says so, and counts the packets."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.errors = link.errors
        self.packets = 0
        self.sent = b""
        self.open = threading.Event()
        self.broken: BaseException | None = None

    def send(self, packed: bytes, seconds: float) -> None:
        self.packets += 1
        self.sent += packed
        self._link.send(packed, seconds)

    def read(self, count: int) -> list[Any]:
        assert self.open.wait(10)
        if self.broken:
            raise self.broken
        return self._link.read(count)

    def close(self) -> None:
        self._link.close()

    def abort(self) -> None:
        self._link.abort()


@pytest.fixture
def shared(redis_url: str) -> Iterator[Shared]:
    shared = Shared(Connector(redis.Redis.from_url(redis_url)))
    yield shared
    shared.close()


@pytest.fixture
def held(shared: Shared) -> HeldLink:
    shared.exchange(ECHO, 5)
    assert shared._link
    held = HeldLink(shared._link)
    shared._link = held  # type: ignore[assignment]
    return held


def asking(shared: Shared, *texts: str, within: float = 5) -> list[Any]:
    """A thread for each text, in turn: the first one leads, the others wait."""
    threads = []
    for text in texts:
        threads.append(in_thread(shared.exchange, [("ECHO", text), ("ECHO", text * 2)], within))
        wait_until(lambda: shared._led.locked() and len(shared._waiting) == len(threads) - 1)
    return threads


def echoed(text: str) -> list[bytes]:
    return [text.encode(), text.encode() * 2]


def test_what_gathers_goes_in_one_packet_and_each_gets_its_own(
    shared: Shared, held: HeldLink
) -> None:
    threads = asking(shared, *"abcdefgh")
    held.open.set()
    assert [thread.result(5) for thread in threads] == [echoed(text) for text in "abcdefgh"]
    assert held.packets == 2


def test_a_packet_has_a_bound(
    shared: Shared, held: HeldLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_module, "PACKET_BYTES", 1)
    threads = asking(shared, *"abc")
    held.open.set()
    assert [thread.result(5) for thread in threads] == [echoed(text) for text in "abc"]
    assert held.packets == 3


def test_an_error_of_the_server_is_that_of_its_thread(shared: Shared, held: HeldLink) -> None:
    threads = [*asking(shared, "a"), in_thread(shared.exchange, [("NONSENSE",)], 5)]
    wait_until(lambda: shared._waiting)
    held.open.set()
    assert threads[0].result(5) == echoed("a")
    assert isinstance(threads[1].result(5)[0], redis.ResponseError)


def test_who_has_no_time_left_leaves_the_others_alone(shared: Shared, held: HeldLink) -> None:
    # given a thread that waits behind another, and has little time
    [leader] = asking(shared, "a")
    hasty = in_thread(shared.exchange, [("ECHO", "late")], 0.05)
    # when its time is up
    assert isinstance(hasty.exception(5), redis.TimeoutError)
    assert shared._waiting == []
    # then the one before it gets its own replies, and so does the next one
    held.open.set()
    assert leader.result(5) == echoed("a")
    assert shared.exchange(ECHO, 5) == [b"hello"]


def test_a_broken_connection_is_the_error_of_all_in_its_packet(
    shared: Shared, held: HeldLink
) -> None:
    threads = asking(shared, *"abc")
    held.broken = redis.ConnectionError("cut")
    held.open.set()
    # the first packet breaks with the connection; the second has a new one
    assert isinstance(threads[0].exception(5), redis.ConnectionError)
    assert [thread.result(5) for thread in threads[1:]] == [echoed("b"), echoed("c")]


def test_an_interrupted_leader_hands_over(shared: Shared, held: HeldLink) -> None:
    threads = asking(shared, "a", "b")
    held.broken = KeyboardInterrupt()
    held.open.set()
    assert isinstance(threads[0].exception(5), KeyboardInterrupt)
    assert threads[1].result(5) == echoed("b")
    assert shared.exchange(ECHO, 5) == [b"hello"]


def test_what_nobody_waits_for_goes_before_what_is_asked_later(
    shared: Shared, held: HeldLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given small packets, and commands whose thread went on, between others
    monkeypatch.setattr(shared_module, "PACKET_BYTES", 1)
    threads = asking(shared, "leader", "before")
    assert shared.exchange([("ECHO", "nobody's")], 5, lambda outcome: None) == []
    threads.append(in_thread(shared.exchange, [("ECHO", "after")], 5))
    wait_until(lambda: len(shared._waiting) == 3)
    # when all of them are sent
    held.open.set()
    for thread in threads:
        thread.result(5)
    # then they are in the order in which they came
    places = [held.sent.index(text) for text in (b"leader", b"before", b"nobody's", b"after")]
    assert places == sorted(places)


class Struck(Exception):
    """Raised by the handler of a signal, as a soft time limit is."""


def _strike(number: int, frame: FrameType | None) -> NoReturn:
    raise Struck


@pytest.fixture
def struck_by_signal() -> Iterator[None]:
    former = signal.signal(signal.SIGUSR1, _strike)
    yield
    signal.signal(signal.SIGUSR1, former)


def _strike_who_waits(shared: Shared) -> None:
    wait_until(lambda: shared._waiting)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


@pytest.mark.usefixtures("struck_by_signal")
def test_who_is_interrupted_while_it_waits_does_not_get_the_lead(
    shared: Shared, held: HeldLink
) -> None:
    # given the main thread, which waits behind another one
    [leader] = asking(shared, "a")
    striker = in_thread(_strike_who_waits, shared)
    # when it is interrupted
    with pytest.raises(Struck):
        shared.exchange([("ECHO", "never")], 5)
    striker.result(5)
    # then the connection serves the others
    held.open.set()
    assert leader.result(5) == echoed("a")
    assert in_thread(shared.exchange, ECHO, 1).result(5) == [b"hello"]
    assert not shared._led.locked()


def test_who_leads_after_a_wait_has_what_is_left_of_its_time(
    shared: Shared, held: HeldLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a thread whose time is half over when it comes to lead, and a Redis that says nothing
    [first] = asking(shared, "a")
    granted = list[float]()
    monkeypatch.setattr(held._link, "send", lambda packed, seconds: granted.append(seconds))
    second = in_thread(shared.exchange, ECHO, 2)
    wait_until(lambda: shared._waiting)
    watch = Stopwatch()
    wait_until(lambda: watch.seconds > 0.2)
    # when it leads
    held.broken = redis.TimeoutError("timed out")
    monkeypatch.setattr(shared, "_hang_up", lambda: None)
    held.open.set()
    assert isinstance(first.exception(5), redis.TimeoutError)
    assert isinstance(second.exception(5), redis.TimeoutError)
    # then it waits for its own packet no longer than it said
    assert granted[-1] < 1.85


def test_a_late_reply_is_nobodys(shared: Shared, held: HeldLink) -> None:
    # given a leader whose reply does not come in time
    held.broken = redis.TimeoutError("timed out")
    held.open.set()
    with pytest.raises(redis.TimeoutError):
        shared.exchange([("ECHO", "late")], 0.05)
    # then the next one asks over another connection
    assert shared.exchange(ECHO, 5) == [b"hello"]
    assert shared._link is not held


def test_many_threads_get_their_own_replies(shared: Shared) -> None:
    def ask(number: int) -> bool:
        texts = [f"{number}-{turn}" for turn in range(100)]
        return all(shared.exchange([("ECHO", t)], 5) == [t.encode()] for t in texts)

    threads = [in_thread(ask, number) for number in range(32)]
    assert all(thread.result(30) for thread in threads)
    assert not shared._led.locked()


# --- Commands whose replies nobody needs


def posted(shared: Shared, *command: str) -> threading.Event:
    """Left to whoever leads; set when it failed."""
    failed = threading.Event()

    def told(outcome: list[Any] | BaseException) -> None:
        if not isinstance(outcome, list) or isinstance(outcome[0], Exception):
            failed.set()

    assert shared.exchange([command], 5, told) == []
    return failed


def test_who_needs_no_reply_does_not_wait(shared: Shared, held: HeldLink) -> None:
    # given one who leads and one who is to lead next
    threads = asking(shared, "a", "b")
    # when others leave theirs
    good, bad = posted(shared, "ECHO", "c"), posted(shared, "NONSENSE")
    held.open.set()
    # then theirs are sent too, and whose failed is told
    assert [thread.result(5) for thread in threads] == [echoed("a"), echoed("b")]
    assert bad.wait(5)
    assert not good.is_set()
    assert held.packets == 2


def test_who_would_lead_next_stays(shared: Shared, held: HeldLink) -> None:
    [leader] = asking(shared, "a")
    heir = in_thread(shared.exchange, [("ECHO", "b")], 5, lambda outcome: None)
    wait_until(lambda: shared._waiting)
    held.open.set()
    assert leader.result(5) == echoed("a")
    assert heir.result(5) == [b"b"]


def test_what_was_left_is_sent_though_who_was_to_lead_has_gone(
    shared: Shared, held: HeldLink
) -> None:
    # given an heir whose time is up, and one who left its commands behind it
    [leader] = asking(shared, "a")
    heir = in_thread(shared.exchange, [("ECHO", "late")], 0.2)
    wait_until(lambda: shared._waiting)
    bad = posted(shared, "NONSENSE")
    assert isinstance(heir.exception(5), redis.TimeoutError)
    # when the leader is done
    held.open.set()
    assert leader.result(5) == echoed("a")
    # then it has sent those too
    assert bad.wait(5)
    assert shared.exchange(ECHO, 5) == [b"hello"]


def test_a_broken_connection_is_told_to_those_who_left(
    shared: Shared, held: HeldLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a packet that has commands which were left
    threads = asking(shared, "a", "b")
    failed = posted(shared, "ECHO", "c")
    packets = list[bytes]()

    def broken(packed: bytes, seconds: float) -> None:
        packets.append(packed)
        raise redis.ConnectionError("cut")

    # when the connection breaks under it
    monkeypatch.setattr(held, "send", broken)
    held.open.set()
    # then both know
    assert threads[0].result(5) == echoed("a")
    assert isinstance(threads[1].exception(5), redis.ConnectionError)
    assert failed.wait(5)
    assert len(packets) == 1
    assert shared.exchange(ECHO, 5) == [b"hello"]


def behind(text: str, told: list[Any]) -> Behind:
    return Behind(lambda: [("ECHO", text), ("ECHO", text * 2)], told.append)


def test_what_goes_behind_is_read_with_what_comes_next(shared: Shared) -> None:
    told = list[Any]()
    # given replies that nobody has read yet
    assert shared.exchange(ECHO, 5, behind=behind("later", told)) == [b"hello"]
    assert told == []
    # when the connection is used again, with more behind it
    assert shared.exchange(ECHO, 5, behind=behind("last", told)) == [b"hello"]
    # then each is told once, and nobody gets the replies of another
    assert told == [echoed("later")]
    assert shared.exchange(ECHO, 5) == [b"hello"]
    assert told == [echoed("later"), echoed("last")]


def test_where_others_send_too_it_is_read_at_once(shared: Shared, held: HeldLink) -> None:
    told = list[Any]()
    [leader] = asking(shared, "a")
    follower = in_thread(lambda: shared.exchange(ECHO, 5, behind=behind("b", told)))
    wait_until(lambda: shared._waiting)
    held.open.set()
    assert (leader.result(5), follower.result(5)) == (echoed("a"), [b"hello"])
    assert told == [echoed("b")]


def test_what_went_behind_a_connection_that_ended_is_told(shared: Shared) -> None:
    told = list[Any]()
    shared.exchange(ECHO, 5, behind=behind("lost", told))
    # when it breaks before the replies are read
    assert shared._link
    shared._link._socket.shutdown(socket.SHUT_RDWR)
    with pytest.raises((redis.ConnectionError, OSError)):
        shared.exchange(ECHO, 5, behind=behind("never sent", told))
    # then both are told, each once
    assert [type(error) for error in told] == [redis.ConnectionError, BrokenPipeError]


def test_what_goes_behind_is_told_when_there_is_no_connection(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[Any]()

    def refused(within: float) -> NoReturn:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(shared._connector, "link", refused)
    with pytest.raises(redis.ConnectionError):
        shared.exchange(ECHO, 5, behind=behind("a", told))
    assert [str(error) for error in told] == ["refused"]
