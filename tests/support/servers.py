"""Redis servers that a test may fill, stop and kill: private ones, each on a free port."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import redis

from tests.support.waiting import wait_until


def redis_server() -> str | None:
    """The program, if one is installed."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def free_port() -> int:
    """Nobody listens here; below the kernel's range for outgoing connections."""
    while True:
        port = random.SystemRandom().randint(10_000, 30_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


class RedisServer:
    """
    A redis-server of one's own.

    - folder - for its log and, with `appendonly="yes"`, its data.
    - file - its configuration, if it needs one; settings - the same as `maxmemory="4mb"`.
    - sentinel - it is a sentinel.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        file: Path | None = None,
        sentinel: bool = False,
        **settings: str,
    ) -> None:
        program = redis_server()
        if program is None:
            import pytest  # here, as worker processes start sooner without it

            pytest.skip("no redis-server is installed")
        self.port = port or free_port()
        self._folder = folder
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "dir": str(folder),
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self._command = [program, *([str(file)] if file else [])]
        for name, value in options.items():
            self._command += [f"--{name}", value]
        self._command += ["--sentinel"] if sentinel else []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._answers)

    def kill(self) -> None:
        """As a crash does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, **settings: Any) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port, **settings)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "redis.log").read_text()
        try:
            with self.client(retry=None) as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False
