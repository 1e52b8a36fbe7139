"""A PostgreSQL of one's own that keeps what it acknowledged, to be killed and started again."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

from tests.support.database_servers import (
    POSTGRES,
    DatabaseServer,
    account,
    own_folder,
    programs_of,
)
from tests.support.processes import children, runs
from tests.support.servers import free_port
from tests.support.waiting import wait_until

START_SECONDS = 60

LASTING = ("--fsync=on", "--synchronous_commit=on", "--full_page_writes=on")
"""Said after those of tests that lose nothing by a crash."""


class PostgresServer:
    """Without its programs the test is skipped, or fails where CI is true."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = POSTGRES.url.format(port=self._port)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        with ExitStack() as stack:
            preparing, self._serving = programs_of(POSTGRES)
            self._folder = stack.enter_context(own_folder())
            stack.callback(self.kill)
            self._run(preparing, *POSTGRES.prepare(self._folder)).wait()
            self.start()
            self._opened = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def start(self) -> None:
        serve = POSTGRES.serve(self._folder, self._port)
        self._process = self._run(self._serving, *serve, *LASTING)
        wait_until(self._answers, START_SECONDS)

    def kill(self) -> None:
        """As a crash does: all of its processes at once."""
        if not self._process:
            return
        pids = [self._process.pid, *children(self._process.pid)]
        subprocess.run(["kill", "-KILL", *map(str, pids)], check=False, stderr=subprocess.DEVNULL)
        self._process.wait()
        self._process = None
        wait_until(lambda: not any(map(runs, pids)))

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [program, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **account(),
            )

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._folder / "log").read_text()
        return DatabaseServer(POSTGRES, self.url).answers()
