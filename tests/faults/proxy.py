"""A TCP proxy in front of Redis that does to its connections what networks do."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from contextlib import suppress

CHUNK = 65_536


class Proxy:
    """
    Passes until it is told otherwise; what a verb says is so until the next verb.

    - server_port - where it leads, on this host.
    - port - where it listens.
    - lost - how many replies were lost, by what their requests held.
    """

    def __init__(self, server_port: int) -> None:
        self.lost = Counter[bytes]()
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._links: set[Link] = set()
        self._to_lose = Counter[bytes]()
        self._refusing = False
        self._delay = 0.0
        self._open = threading.Event()
        self._open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which `close` does not
        self._listener.close()
        self.cut()

    # --- The verbs

    def pass_on(self) -> None:
        """Everything, also what was held back."""
        self._refusing, self._delay = False, 0.0
        self._open.set()

    def cut(self) -> None:
        """Closes all connections, and new ones at once."""
        self.pass_on()
        self._refusing = True
        for link in self._snapshot():
            link.close()

    def hole(self) -> None:
        """Holds back every byte in both directions: nobody notices but by waiting."""
        self._open.clear()

    def delay(self, seconds: float) -> None:
        """Holds each piece of a reply back for so long."""
        self.pass_on()
        self._delay = seconds

    def half_close(self) -> None:
        """Tells the clients that nothing more will come; the server does not know."""
        for link in self._snapshot():
            link.end_replies()

    def lose_reply(self, request: bytes, times: int = 1) -> None:
        """
        Forwards the next requests that hold these bytes, and closes their connections in the place
        of the replies.
        """
        with self._lock:
            self._to_lose[request] += times

    def is_sparing(self, request: bytes) -> bool:
        """Whether all replies that `lose_reply` told it to lose for this request are lost."""
        with self._lock:
            return not self._to_lose[request]

    def spare_replies(self) -> None:
        """Those that were to be lost and did not come."""
        with self._lock:
            self._to_lose.clear()

    # --- Its connections

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            link = Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()

    def _snapshot(self) -> list[Link]:
        with self._lock:
            return list(self._links)

    def forget(self, link: Link) -> None:
        with self._lock:
            self._links.discard(link)

    def wait(self) -> None:
        self._open.wait()

    def wait_for_reply(self) -> None:
        if self._delay:
            time.sleep(self._delay)
        self._open.wait()

    def loses(self, request: bytes) -> bool:
        with self._lock:
            for wanted, times in self._to_lose.items():
                if times and wanted in request:
                    self._to_lose[wanted] -= 1
                    self.lost[wanted] += 1
                    return True
        return False


class Link:
    """One connection of a client and the one that the proxy has for it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._losing = False
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        threading.Thread(target=self._requests, daemon=True).start()
        threading.Thread(target=self._replies, daemon=True).start()

    def _requests(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(CHUNK):
                self._proxy.wait()
                self._losing = self._losing or self._proxy.loses(data)
                self._server.sendall(data)
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)  # what was sent is still executed

    def _replies(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(CHUNK):
                self._proxy.wait_for_reply()
                if self._losing:
                    self._client.shutdown(socket.SHUT_RDWR)  # and the server is read to its end
                else:
                    self._client.sendall(data)
        self.close()

    def end_replies(self) -> None:
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._proxy.forget(self)
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
