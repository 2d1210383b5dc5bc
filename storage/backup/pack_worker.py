"""A process that packs runs of events, as the backup that it works for sees it. The thread of the backup."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from pathlib import Path

import msgpack

from storage.backup.event_run import PackedRun
from storage.backup.run_worker import CHUNK, FAILED, PACK, PACKED, READY, WRITE, WRITTEN
from storage.backup.segment_format import Point

__all__ = ["EventRun", "PackWorker"]

ASKED = 2
"""Runs that a worker is asked for at once, so that it never waits."""

HOME = str(Path(__file__).resolve().parents[2])
"""The folder that the packages are in."""
BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from storage.backup.run_worker import main; main(sys.argv[2:])"
)


class EventRun:
    """A run: who packs it, and how far that is."""

    def __init__(self, number: int, begin: Point, end: Point) -> None:
        self.number = number
        self.begin = begin
        self.end = end
        self.worker: PackWorker | None = None
        self.packed: PackedRun | None = None
        """If it was packed here."""
        self.heads = b""
        self.size = 0
        """If a worker has packed it."""
        self.offset = 0

    @property
    def ready(self) -> bool:
        """Whether it can be written, or has to be packed here at last."""
        return self.size > 0 or self.worker is None or self.worker.lost


class PackWorker:
    """A process that packs runs."""

    def __init__(self, files: tuple[str, str, str], stretch: int) -> None:
        """`files` are the log, its archives and the backup. Raises OSError if it can't be started."""
        self._stretch = stretch
        self._packing: dict[int, EventRun] = {}
        self.writing: dict[int, EventRun] = {}
        """What it was told to write, and has not yet."""
        self.lost = False
        self._ready = False
        self._unpacker = msgpack.Unpacker()
        self._connection, theirs = socket.socketpair()
        try:
            with theirs:
                flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
                self._process = subprocess.Popen(
                    [sys.executable, *flags, "-c", BOOT, HOME, *files, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C goes to the foreground group: a worker ends with its connection.
                    process_group=0,
                )
        except BaseException:
            self._connection.close()
            raise
        self._waiting = select.poll()
        self._waiting.register(self._connection, select.POLLIN)

    @property
    def has_room(self) -> bool:
        """Whether it should be asked for more."""
        return self._ready and not self.lost and len(self._packing) < ASKED

    def ask(self, run: EventRun) -> None:
        """Let it pack a run."""
        run.worker = self
        self._packing[run.number] = run
        self._say(PACK, run.number, run.begin, run.end, self._stretch)

    def tell_offset(self, run: EventRun) -> None:
        """Let it write a run that it has packed."""
        self.writing[run.number] = run
        self._say(WRITE, run.number, run.offset)

    def listen(self, *, wait: bool) -> None:
        """Take in what it says; with `wait` at least one message, or its end."""
        while not self.lost and self._waiting.poll(None if wait else 0):
            try:
                data = self._connection.recv(CHUNK)
            except OSError:
                data = b""
            if not data:
                self.end()
            self._unpacker.feed(data)
            for message in self._unpacker:
                self._take(*message)
                wait = False

    def _take(self, word: str, number: int = 0, heads: bytes = b"", size: int = 0) -> None:
        if word == READY:
            self._ready = True
        elif word == PACKED:
            run = self._packing.pop(number)
            run.heads, run.size = heads, size
        elif word == WRITTEN:
            del self.writing[number]
        elif word == FAILED:
            self.end()

    def _say(self, *message: object) -> None:
        try:
            self._connection.sendall(msgpack.packb(message))
        except OSError:
            self.end()

    def end(self) -> None:
        """End the process: it writes nothing after that."""
        self.lost = True
        self._connection.close()
        self._process.kill()
        self._process.wait()
