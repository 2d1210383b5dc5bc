"""The process that writes while another one reads: `python -m tests.system.writing_child STORE [MODEL ...]`.

Each line of its input is an amount to deposit; it answers each with its position. Projections of the models
fail at a deposit of 13, as in the process that reads; `skip MODEL POSITION` has one skip it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors import System
from tests.forked import Forked
from tests.system.ledger import MODELS, Deposit, failing, ledger


def main(store: str, *models: str) -> None:
    failing.update(models)
    by_name = {model.name: model for model in MODELS}
    with System.open(store, ledger, replicas=1) as system:
        print(system.position, flush=True)
        for line in sys.stdin:
            if line.startswith("skip"):
                _, model, position = line.split()
                system.skip_event(by_name[model], int(position))
                print(position, flush=True)
            else:
                print(system.execute(Deposit("a", int(line))).position, flush=True)


class Writer:
    """The process, as its parent has it."""

    def __init__(self, store: Path, *models: str) -> None:
        self.process = Forked(__name__, str(store), *models, stdin=True)
        self.position = int(self.answer())

    def answer(self) -> str:
        return self.process.stdout.readline()

    def ask(self, line: object) -> int:
        """Have it do a line; returns the position that it answers, when that is on disk."""
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)
        return int(self.answer())

    def end(self, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.process.close()


@contextmanager
def writer(store: Path, *models: str) -> Iterator[Writer]:
    """The process, which has the store open; ended with the block."""
    made = Writer(store, *models)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
