"""What Linux tells about processes: CPU time and connections."""

from __future__ import annotations

import os
import time
from pathlib import Path

ESTABLISHED = "01"


def cpu_seconds(pid: int) -> float:
    """Of all threads of the process, to the nanosecond: the clock of clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def connections_to(server: int) -> int:
    """How many connections this process has to the port where that process listens."""
    port = _listening_port(server)
    mine = _sockets(os.getpid())
    return sum(
        remote.endswith(port) and state == ESTABLISHED and inode in mine
        for _, remote, state, inode in _tcp_table()
    )


def _listening_port(pid: int) -> str:
    """As in :1F90."""
    sockets = _sockets(pid)
    locals_ = (
        local
        for local, remote, _, inode in _tcp_table()
        if inode in sockets and remote.endswith(":0000")
    )
    return next(locals_)[-5:]


def _sockets(pid: int) -> set[str]:
    """Their inodes."""
    links = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.add(os.readlink(descriptor))
        except FileNotFoundError:  # closed meanwhile
            continue
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def _tcp_table() -> list[tuple[str, str, str, str]]:
    """(local address, remote address, state, inode) of each connection over IPv4."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [(row[1], row[2], row[3], row[9]) for row in map(str.split, rows)]
