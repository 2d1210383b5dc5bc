"""Frames on a stream socket between two processes: four bytes with the length of the body, then the body.

Both processes use it. One thread at a time reads a connection; any thread writes.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress

__all__ = ["FrameDecoder", "Connection", "frame"]

LENGTH = struct.Struct("<I")
RECEIVE_SECONDS = 1.0
"""Seconds that `receive` waits on a bounded connection."""

CHUNK = 1 << 16
"""Bytes that are asked of the socket at a time."""


def frame(body: bytes) -> bytes:
    """The body with its length before it."""
    return LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Cuts what arrives into frames; knows no socket."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._wanted = LENGTH.size

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are complete now, in order."""
        rest = self._rest
        if not rest and len(data) >= LENGTH.size and LENGTH.unpack_from(data)[0] + LENGTH.size == len(data):
            return [data[LENGTH.size :]]
        rest += data
        # A long one arrives in many pieces: there is no use in looking before all of it can be here.
        if len(rest) < self._wanted:
            return []
        bodies = []
        at, end = 0, len(rest)
        while True:
            self._wanted = LENGTH.size
            if end - at < LENGTH.size:
                break
            size = LENGTH.unpack_from(rest, at)[0] + LENGTH.size
            if end - at < size:
                self._wanted = size
                break
            bodies.append(bytes(rest[at + LENGTH.size : at + size]))
            at += size
        del rest[:at]
        return bodies


class Connection:
    """One end of a socket pair. `send` never waits: what there is no room for is kept and sent later."""

    def __init__(self, sock: socket.socket, *, bounded: bool = False) -> None:
        """If it is `bounded`, `receive` waits no longer than `RECEIVE_SECONDS`."""
        self._sock = sock
        if bounded:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(RECEIVE_SECONDS), 0))
        self._frames = FrameDecoder()
        self._lock = threading.Lock()
        self._unsent: deque[memoryview] = deque()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    # -- reading: one thread at a time -------------------------------------------------------
    def readable(self, timeout: float | None) -> bool:
        """Whether there is something to receive, or the end, within `timeout` seconds.

        What could not be sent is sent meanwhile, as soon as there is room.
        """
        if self._unsent:
            return self._readable_and_flush(timeout)
        return bool(self._poll.poll(None if timeout is None else max(timeout, 0.0) * 1000))

    def ready_to_receive(self, timeout: float) -> bool:
        """As `readable`, but True without asking if `receive` may wait as well: that saves a system call."""
        if timeout > RECEIVE_SECONDS and not self._unsent:
            return True
        return self.readable(timeout)

    def _readable_and_flush(self, timeout: float | None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            writes = self._flush()
            poll = select.poll()
            poll.register(self._sock, select.POLLIN | (select.POLLOUT if writes else 0))
            left = None if end is None else max(end - time.monotonic(), 0.0) * 1000
            events = poll.poll(left)
            if not events or events[0][1] & ~select.POLLOUT:
                return bool(events)

    def receive(self) -> list[bytes] | None:
        """The frames that have arrived, perhaps none yet; waits for data. None at the end."""
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return []  # As long as it is set to wait.
        except OSError:
            return None
        return self._frames.feed(data) if data else None

    # -- writing: any thread -----------------------------------------------------------------
    def send(self, body: bytes) -> bool:
        """Send a frame, or keep what there is no room for; True if all is sent. Never waits or raises."""
        data = LENGTH.pack(len(body)) + body
        with self._lock:
            if self._unsent:
                self._unsent.append(memoryview(data))
                return False
            sent = self._send_now(data)
            if sent < len(data):
                self._unsent.append(memoryview(data)[sent:])
                return False
            return True

    def _send_now(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            # The reader finds the end.
            return len(data)

    def _flush(self) -> bool:
        """Send what was kept as far as there is room; whether some is left."""
        with self._lock:
            while self._unsent:
                data = self._unsent[0]
                sent = self._send_now(data)
                if sent < len(data):
                    self._unsent[0] = data[sent:]
                    return True
                self._unsent.popleft()
            return False

    def send_all(self, data: bytes) -> None:
        """Send frames, waiting for room. Raises `OSError` if the other end is closed."""
        with self._lock:
            self._sock.sendall(data)

    # -- ending ------------------------------------------------------------------------------
    def shutdown(self) -> None:
        """Have the readers at both ends find the end."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def shutdown_reading(self) -> None:
        """Have the reader at this end find the end after what has arrived."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close the socket; after `shutdown`, when no thread reads any more."""
        self._sock.close()
