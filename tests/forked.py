"""Programs of the tests that are started again and again: each is forked from a process that has imported the
library, and nothing else, which is a tenth of the work of a fresh interpreter.

The process that it comes from has opened nothing and has one thread. A program runs as with `python -m`, to
the end of the interpreter. A test that is about the start of an interpreter uses `subprocess`.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PRELOADED = ("actors.system.system", "actors.testing", "actors.runtime.runtime")

_server: tuple[int, socket.socket, subprocess.Popen[bytes]] | None = None


class Forked:
    """A program, with the part of `subprocess.Popen` that tests use; killed at the end of its block.

    Without `stdin` it has none; its errors go where those of the test go.
    """

    def __init__(self, module: str, *arguments: str, stdin: bool = False) -> None:
        self.returncode: int | None = None
        null = os.open(os.devnull, os.O_RDONLY)
        given, told = os.pipe(), os.pipe()
        taken = os.pipe() if stdin else (null, -1)
        self.stdout = open(given[0], encoding="utf-8")  # noqa: SIM115
        self.stdin = open(taken[1], "w", encoding="utf-8") if stdin else None  # noqa: SIM115
        self._told = open(told[0], "rb", buffering=0)  # noqa: SIM115
        passed = [taken[0], given[1], 2, told[1]]
        try:
            socket.send_fds(_running_server(), [json.dumps([module, *arguments]).encode()], passed)
        finally:
            for number in {null, taken[0], given[1], told[1]}:
                os.close(number)
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """Its exit status, the negative number of the signal that ended it, or None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = os.waitstatus_to_exitcode(int(self._told.readline()))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The same, once it has ended. Raises ``subprocess.TimeoutExpired``."""
        if self.returncode is None:
            select.select([self._told], [], [], timeout)
        if (status := self.poll()) is None:
            raise subprocess.TimeoutExpired("a forked program", timeout or 0.0)
        return status

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Wait for its end, without anything more to tell it."""
        if self.stdin is not None:
            self.stdin.close()
        self.wait()
        self.stdout.close()
        self._told.close()

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self.kill()
        self.close()


# -- the process that they are forked from ---------------------------------------------------------------
def _running_server() -> socket.socket:
    global _server
    if _server is None or _server[0] != os.getpid():
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
        )
        theirs.close()
        _server = os.getpid(), ours, process
        atexit.register(_end_server)
    return _server[1]


def _end_server() -> None:
    if _server is not None and _server[0] == os.getpid():
        _server[1].close()
        _server[2].wait()


def _next_program(connection: socket.socket) -> list[str] | None:
    """Returns in each forked child, with what it is to run; in the server at its end, with None."""
    while True:
        request, files, _, _ = socket.recv_fds(connection, 1 << 16, 4)
        if not request:
            return None
        if not os.fork():
            connection.close()
            _become_program(files)
            return list(json.loads(request))
        for file in files:
            os.close(file)
        os.wait()


def _become_program(files: list[int]) -> None:
    """Returns in the process of the program, with its files; the parent of it tells its id and its end."""
    *standard, told = files
    if os.fork():
        os._exit(0)
    pid = os.fork()
    if pid:
        for file in standard:
            os.close(file)
        os.write(told, b"%d\n" % pid)
        os.write(told, b"%d\n" % os.waitpid(pid, 0)[1])
        os._exit(0)
    os.close(told)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)


if __name__ == "__main__":
    for _name in PRELOADED:
        __import__(_name)
    with socket.socket(fileno=int(sys.argv[1])) as _connection:
        _program = _next_program(_connection)
    if _program is not None:
        sys.argv[1:] = _program[1:]
        runpy.run_module(_program[0], run_name="__main__", alter_sys=True)
