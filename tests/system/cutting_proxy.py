"""Stands between a program and a server of HTTP, and cuts its connections in the middle of what is put.

It never cuts within the head of a request: some servers of Python take half of one for a whole one.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

from tests.helpers import PATIENCE

READY = b"HTTP/1.1 100"
Cut = int | Literal["answer"] | None


class CuttingProxy:
    """Passes everything on, until it is told to cut or to hold. Used as a block.

    `url` is where programs connect to; `cuts` counts the connections that were cut.
    """

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        assert parts.hostname is not None
        assert parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.cuts = 0
        self.held = threading.Event()
        """Is set while something is held."""
        self._cut: Cut = None
        self._times = 0
        self._hold: int | None = None
        self._go_on = threading.Event()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, after: Cut, times: int = 1 << 30) -> None:
        """Cut the next `times` connections after so many bytes of what is put, or before the answer.

        None for no more; 0 is before the request.
        """
        self._times = times
        self._cut = after

    def hold(self, after: int) -> None:
        """Let what is put wait after so many bytes until `release`, which cuts its connection."""
        self._go_on.clear()
        self._hold = after

    def release(self) -> None:
        """Cut what is held, and hold nothing more."""
        self._hold = None
        self._go_on.set()
        self.held.clear()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        self._listening.close()
        for one in list(self._open):
            self._reset(one)

    def _count(self) -> None:
        self.cuts += 1
        self._times -= 1
        if self._times <= 0:
            self._cut = None

    # -- its threads -----------------------------------------------------------------------------------------
    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(self._server, PATIENCE)
                except OSError:
                    self._reset(client)
                    continue
                _Connection(self, client, server).start()

    def _reset(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.shutdown(socket.SHUT_RDWR)
        one.close()


class _Connection:
    """A connection of a program, and the one to the server for it: a thread for each direction."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._put = -1
        """How many bytes of the body of a PUT or POST were passed on; -1 while it is another request."""
        proxy._open |= {client, server}

    def start(self) -> None:
        threading.Thread(target=self._run, args=(self._to_server,), daemon=True).start()
        threading.Thread(target=self._run, args=(self._to_client,), daemon=True).start()

    def _run(self, work: object) -> None:
        with suppress(OSError):
            work()  # type: ignore[operator]
        self._proxy._reset(self._client)
        self._proxy._reset(self._server)

    def _to_server(self) -> None:
        proxy = self._proxy
        while data := self._client.recv(1 << 16):
            method = data.split(b" ", 1)[0]
            head = 0
            if method in (b"PUT", b"POST"):
                self._put = 0
                head = data.find(b"\r\n\r\n") + 4
            elif method in (b"GET", b"HEAD", b"DELETE"):
                self._put = -1
            if self._put >= 0:
                for limit in (proxy._hold, proxy._cut):
                    if isinstance(limit, int) and (limit == 0 or self._put + len(data) - head > limit):
                        self._server.sendall(data[: head + limit - self._put] if limit else b"")
                        if limit is proxy._hold:
                            proxy.held.set()
                            proxy._go_on.wait(PATIENCE)
                        proxy._count()
                        return
                self._put += len(data) - head
            self._server.sendall(data)

    def _to_client(self) -> None:
        proxy, waiting = self._proxy, b""
        while data := self._server.recv(1 << 16):
            if proxy._cut != "answer" or self._put < 0:
                self._client.sendall(waiting + data)
                waiting = b""
                continue
            # That the server is ready for what is put is no answer to it; it may come in pieces, or with one.
            waiting += data
            if waiting.startswith(READY[: len(waiting)]):
                ready, end, rest = waiting.partition(b"\r\n\r\n")
                if end:
                    self._client.sendall(ready + end)
                    waiting = rest
            if waiting and not waiting.startswith(READY[: len(waiting)]):
                proxy._count()
                return
