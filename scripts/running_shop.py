"""The example shop as real processes: a web server, and a worker for each queue."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from web_servers import BACKLOG, SERVERS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "testproject"
BULK_QUEUE, QUEUES = "bulk_data_saving", ("bulk_data_saving", "reports")

START_SECONDS = 30
STOP_SECONDS = 10
ANSWER_SECONDS = 30
LOG_LINES, LOG_WIDTH = 15, 300


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Each of them ends the demo and all its processes."""


class DemoError(Exception):
    """What went wrong, in one line."""


@contextmanager
def signals_held() -> Iterator[None]:
    """
    What ends the demo waits to the end of the block: in the middle of starting a process it would
    leave one behind that nobody knows. (A blocked signal mask would pass on to that process.)
    """
    arrived: list[int] = []
    handlers = {
        each: signal.signal(each, lambda number, _: arrived.append(number)) for each in SIGNALS
    }
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        for number in arrived[:1]:
            signal.raise_signal(number)


@dataclass(frozen=True)
class Child:
    """A process of the shop; its output goes to a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        if (code := self.process.poll()) is not None:
            raise DemoError(f"the {self.name} ended by itself, with exit code {code}")

    def stop(self) -> None:
        """Asks it to end; ends it and its own children by force when it does not."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join(f"  {line[:LOG_WIDTH]}" for line in lines)


class Shop:
    """
    The example site, running. Every process that it starts ends with `stack`.

    - folder - for the logs of the processes.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.sql_log = folder / "sql.log"
        self.port = 0
        self._stack = stack
        self._folder = folder
        self._children: list[Child] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, server: str, port: int, requests: int) -> None:
        """
        Returns when the shop answers and its workers are at work. `DemoError` when they are not.

        - server - the web server, one of `SERVERS`.
        - port - of the web server, 0 for any that is free.
        - requests - how many it can hold at once.
        """
        self._start_web_server(server, port, requests)
        for queue in QUEUES:
            sql_log = self.sql_log if queue == BULK_QUEUE else os.devnull
            self._start(_worker(queue), ["manage.py", "runworker", queue], SQL_LOG=str(sql_log))
        self._wait_until(partial(_answers, self.port), "web server")
        for queue in QUEUES:
            self._wait_until(partial(_has_worker, queue), _worker(queue))

    def check(self) -> None:
        """`DemoError` when one of the processes has ended."""
        for child in self._children:
            child.check()

    def logs(self) -> str:
        """What each process said last."""
        said = ((child.name, child.last_lines()) for child in self._children)
        return "\n".join(f"--- {name}\n{lines}" for name, lines in said if lines)

    def _start_web_server(self, server: str, port: int, requests: int) -> None:
        """Its socket is opened here and handed over, so that nobody takes the port meanwhile."""
        with _listening_socket(port) as listener:
            self.port = listener.getsockname()[1]
            command = SERVERS[server](listener.fileno(), requests)
            self._start("web server", command, listener.fileno(), SQL_LOG=str(self.sql_log))

    def _start(self, name: str, command: list[str], *descriptors: int, **variables: str) -> None:
        log = self._folder / f"{name.replace(' ', '-')}.log"
        with signals_held(), log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=PROJECT,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is for us: we end them in order
            )
            child = Child(name, process, log)
            self._stack.callback(child.stop)
            self._children.append(child)

    def _wait_until(self, is_ready: Callable[[], bool], name: str) -> None:
        until = time.monotonic() + START_SECONDS
        while not is_ready():
            self.check()
            if time.monotonic() > until:
                raise DemoError(f"the {name} was not ready within {START_SECONDS} s")
            time.sleep(0.05)


async def fetch(port: int, method: str, path: str, data: Any = None) -> tuple[int, Any]:
    """One request on a connection of its own: the status and the decoded JSON, or the text."""
    body = b"" if data is None else json.dumps(data).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + body)
        return _parsed(await asyncio.wait_for(reader.read(), ANSWER_SECONDS))
    finally:
        writer.close()


def _parsed(response: bytes) -> tuple[int, Any]:
    head, _, body = response.partition(b"\r\n\r\n")
    if not head:
        raise ConnectionError("the web server closed the connection without an answer")
    status = int(head.split()[1])
    try:
        return status, json.loads(body)
    except ValueError:
        return status, body[:LOG_WIDTH].decode(errors="replace")


def _worker(queue: str) -> str:
    return f"worker of {queue}"


def _listening_socket(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise DemoError(f"port {port} cannot be used ({error}): choose another") from error


def _answers(port: int) -> bool:
    try:
        return asyncio.run(fetch(port, "GET", "/products/"))[0] == 200
    except OSError:
        return False


def _has_worker(queue: str) -> bool:
    from django_task_helpers import courier

    return bool(courier.get_queue_stats(queue).workers)
