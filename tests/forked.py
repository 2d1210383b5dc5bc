"""Programs of the tests that are started again and again, and killed or talked to: each is forked from the
process that `tests.preloaded` keeps, which is a tenth of the work of a fresh interpreter.

A program runs as with `python -m`, to the end of the interpreter. A test that is about the start of an
interpreter uses `subprocess`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from typing import Any

from tests import preloaded


class Forked:
    """A module that is run, or for "-c" a text, with the part of `subprocess.Popen` that tests use; killed at
    the end of its block, if that ends with an error.

    Without `stdin` it has none; its errors go where those of the test go.
    """

    def __init__(self, module: str, *arguments: str, stdin: bool = False) -> None:
        self.returncode: int | None = None
        self._looking = threading.Lock()
        given = os.pipe()
        taken = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY), -1)
        self.stdout = open(given[0], encoding="utf-8")  # noqa: SIM115
        self.stdin = open(taken[1], "w", encoding="utf-8") if stdin else None  # noqa: SIM115
        try:
            command = [module, *arguments] if module == "-c" else ["-m", module, *arguments]
            with preloaded.ask([taken[0], given[1], 2], command, preloaded.ROOT) as connection:
                self._told = connection.makefile("rb", buffering=0)
        finally:
            os.close(taken[0])
            os.close(given[1])
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """Its exit status, the negative number of the signal that ended it, or None while it runs."""
        with self._looking:
            if self.returncode is None and select.select([self._told], [], [], 0)[0]:
                self.returncode = int(self._told.readline())
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
