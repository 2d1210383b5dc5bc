"""One worker process as its parent has it: started, ready, ended. Any thread of the parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.errors import ActorsError
from actors.kernel.uninterrupted_call import UninterruptedCall
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import unpack_error
from actors.worker_processes.wire.framing import Connection
from storage.codec.codec import Codec
from storage.files.error_translation import LIMITS, limit_reached

__all__ = ["WorkerDied", "WorkerProcess", "import_paths"]

HOME = str(Path(__file__).resolve().parents[3])
"""The folder that the packages are in."""
BOOT = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import gc; gc.disable(); "
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from actors.worker_processes.child.main import main; main(sys.argv[2:])"
)
"""What a worker runs. The garbage collector is off while it imports: all of that stays."""
SEND_BUFFER = 1 << 20


class WorkerDied(ActorsError):
    """A worker process ended without being asked to, or did not get ready."""


def import_paths() -> list[str]:
    """Where this process finds modules, so that a worker finds the same ones wherever it is started."""
    return [os.path.abspath(path) for path in sys.path]


def start_python(program: str, arguments: list[str], fds: list[int]) -> subprocess.Popen[bytes]:
    """Start a Python that runs `program`, with these arguments and then the numbers of the files `fds`, which
    it has open as well. Raises OSError."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return subprocess.Popen(
        [sys.executable, *flags, "-c", program, *arguments, *map(str, fds)],
        stdin=subprocess.DEVNULL,
        pass_fds=fds,
        # Ctrl-C goes to the foreground group: a worker ends with its connection.
        process_group=0,
    )


class WorkerProcess:
    """A child process with its connections; one thread reads each of them."""

    def __init__(self, name: str, config: dict[str, Any], queries: int) -> None:
        """Starts nothing yet; `queries` is the number of its query actors, `config` what it is sent."""
        self.name = name
        self._config = config
        self._queries = queries
        self._sockets: list[socket.socket] = []
        self._connections: list[Connection] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = UninterruptedCall(f"onewriter-{name}-spawning", self._start)

    def start(self) -> None:
        """Start it. Raises `LimitReached` or `WorkerDied` if that fails. Interrupted, it may have started:
        call `end`."""
        self._starting.run()

    def _start(self) -> None:
        theirs: list[socket.socket] = []
        try:
            for _ in range(self._queries + 1):
                one, other = socket.socketpair()
                self._sockets.append(one)
                theirs.append(other)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            arguments = [HOME, self.name, self._config["path"]]
            self._process = start_python(BOOT, arguments, [one.fileno() for one in theirs])
        except OSError as error:
            what = f"no process could be started for {self.name}"
            if error.errno in LIMITS:
                raise limit_reached(error.errno, what) from error
            raise WorkerDied(f"{what}: {error}") from error
        finally:
            for one in theirs:
                one.close()
        self._connections.append(Connection(self._sockets[0]))
        self._connections += [Connection(one, bounded=True) for one in self._sockets[1:]]
        self.control_connection.send(protocol.pack(self._config))

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    @property
    def control_connection(self) -> Connection:
        """The connection for everything but queries."""
        return self._connections[0]

    @property
    def query_connections(self) -> list[Connection]:
        """The connections of its query actors, in order."""
        return self._connections[1:]

    def wait_ready(self, codec: Codec, timeout: float) -> Any:
        """Wait until it is ready; returns what it sent of its replica. Raises why it could not open it,
        `WorkerDied`."""
        end = time.monotonic() + timeout
        while self.control_connection.readable(end - time.monotonic()):
            bodies = self.control_connection.receive()
            if bodies is None:
                raise WorkerDied(self.exit_reason())
            for index, body in enumerate(bodies):
                word, *values = protocol.unpack(body)
                if word == protocol.HELLO:
                    return values, bodies[index + 1 :]
                if word == protocol.REFUSED:
                    raise unpack_error(values[0], codec)
        raise WorkerDied(f"process {self.pid} of {self.name} was not ready within {timeout:g} s")

    def exit_reason(self) -> str:
        """How it ended; it is killed if it has not within a second."""
        if not self.wait(1.0):
            self.kill()
            self.wait(5.0)
        assert self._process is not None
        code = self._process.returncode
        if code is None:
            return f"process {self.pid} of {self.name} closed its connection, and does not end"
        if code < 0:
            with suppress(ValueError):
                return f"process {self.pid} of {self.name} was killed by {signal.Signals(-code).name}"
        return f"process {self.pid} of {self.name} ended with code {code}"

    def kill(self) -> None:
        """Kill it; the readers of its connections find their end."""
        if self._process is not None:
            self._process.kill()

    def wait(self, timeout: float) -> bool:
        """Whether it has ended within `timeout` seconds."""
        try:
            if self._process is not None:
                self._process.wait(max(timeout, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def shutdown(self) -> None:
        """Have the readers of its connections find the end."""
        for connection in self._connections:
            connection.shutdown()

    def end(self) -> None:
        """End it, whatever became of its start. Interrupted, it can be called again."""
        self._starting.cancel()
        self.shutdown()
        if not self.wait(0.0):
            self.kill()
            self.wait(5.0)
        self.close()

    def close(self) -> None:
        """Close the sockets; also in a forked child, so that the worker finds its parent's end."""
        for one in self._sockets:
            one.close()
