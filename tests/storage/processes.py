"""Another process of a test: it carries out commands line by line, and answers each with one line.

`python -m tests.storage.processes <module> <arguments>` calls `commands` of the module with the arguments.
That returns a function, which is called with the words of each line.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.forked import Forked
from tests.helpers import PATIENCE


class Other:
    """The process that runs the commands of `module`."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.process = Forked("tests.storage.processes", module, *arguments, stdin=True)

    def do(self, *words: object) -> str:
        """Carry out one line in the process; returns its answer."""
        self.begin(*words)
        return self.answer()

    def begin(self, *words: object) -> None:
        """Start to carry out one line in the process; `answer` waits for it."""
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)

    def answer(self) -> str:
        """Its next line."""
        output = self.process.stdout
        ready, _, _ = select.select([output], [], [], PATIENCE)
        assert ready, "the other process did not answer"
        line = output.readline()
        assert line, "the other process has ended"
        return line.strip()

    def kill(self) -> None:
        """Kill it immediately, as a crash does."""
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def other(module: str, *arguments: object) -> Iterator[Other]:
    """A process for the module, which ends with the block."""
    running = Other(module, *map(str, arguments))
    try:
        assert running.answer() == "ready"
        yield running
    finally:
        running.kill()
        running.process.close()


def _serve(module: str, *arguments: str) -> None:
    from importlib import import_module

    command = import_module(module).commands(*arguments)
    print("ready", flush=True)
    for line in sys.stdin:
        print(command(line.split()), flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
