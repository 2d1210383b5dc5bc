"""One worker process as its parent sees it: started, heard when it is ready, ended. Any thread of the parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import actors
from actors.errors import ActorsError
from actors.workers import protocol
from actors.workers.failures import unpack_error
from actors.workers.frames import Line
from storage.codec import Codec

__all__ = ["WorkerDied", "WorkerProcess", "import_paths"]

BOOT = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from actors.workers.child import main; main(sys.argv[2:])"
)
SEND_BUFFER = 1 << 20


class WorkerDied(ActorsError):
    """A worker process ended without being asked to, or did not get ready."""


def import_paths() -> list[str]:
    """Where this process finds modules, so that a worker finds the same ones wherever it is started."""
    return [os.path.abspath(path) for path in sys.path]


class WorkerProcess:
    """A child process with its lines; `control` is read by one thread."""

    def __init__(self, name: str, config: dict[str, Any], queries: int) -> None:
        """Starts it; `queries` is the number of its query actors. Raises `WorkerDied` where that can't be."""
        self.name = name
        ours, theirs = [], []
        try:
            for _ in range(queries + 1):
                one, other = socket.socketpair()
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                ours.append(one)
                theirs.append(other)
            fds = [one.fileno() for one in theirs]
            home = os.path.dirname(os.path.dirname(os.path.abspath(actors.__file__)))
            flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", BOOT, home, name, config["path"], *map(str, fds)],
                stdin=subprocess.DEVNULL,
                pass_fds=fds,
                # Ctrl-C goes to the foreground group: a worker ends by its line.
                process_group=0,
            )
        except BaseException as error:
            for one in ours:
                one.close()
            if isinstance(error, OSError):
                raise WorkerDied(f"no process could be started for {name}: {error}") from error
            raise
        finally:
            for one in theirs:
                one.close()
        self.pid = self._process.pid
        self.control = Line(ours[0])
        self.questions = [Line(one, patient=False) for one in ours[1:]]
        self.control.send(protocol.pack(config))

    def hello(self, codec: Codec, timeout: float) -> Any:
        """Wait until it is ready; what it says of its replica. Raises what it could not be opened for, `WorkerDied`."""
        end = time.monotonic() + timeout
        while self.control.readable(end - time.monotonic()):
            bodies = self.control.receive()
            if bodies is None:
                raise WorkerDied(self.ending())
            for place, body in enumerate(bodies):
                word, *values = protocol.unpack(body)
                if word == protocol.HELLO:
                    return values, bodies[place + 1 :]
                if word == protocol.REFUSED:
                    raise unpack_error(values[0], codec)
        raise WorkerDied(f"process {self.pid} of {self.name} was not ready within {timeout:g} s")

    def ending(self) -> str:
        """How it ended; it is killed if it has not within a moment."""
        if not self.wait(1.0):
            self.kill()
            self.wait(5.0)
        code = self._process.returncode
        if code is None:
            return f"process {self.pid} of {self.name} closed its line, and does not end"
        if code < 0:
            with suppress(ValueError):
                return f"process {self.pid} of {self.name} was killed by {signal.Signals(-code).name}"
        return f"process {self.pid} of {self.name} ended with code {code}"

    def kill(self) -> None:
        """End it at once; whoever reads its lines finds their end."""
        self._process.kill()

    def wait(self, timeout: float) -> bool:
        """Whether it has ended within `timeout` seconds."""
        try:
            self._process.wait(max(timeout, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def hang_up(self) -> None:
        """Have everybody who reads one of its lines find the end."""
        for line in (self.control, *self.questions):
            line.hang_up()

    def close(self) -> None:
        """Give the sockets back; also in a forked child, so that the worker finds its parent's end."""
        for line in (self.control, *self.questions):
            line.close()


def ended_all(processes: list[WorkerProcess], timeout: float, each: Callable[[WorkerProcess], None]) -> None:
    """Wait until all have ended; `each` is done to those that have not within `timeout` seconds."""
    end = time.monotonic() + timeout
    for process in processes:
        if not process.wait(end - time.monotonic()):
            each(process)
            process.wait(5.0)
