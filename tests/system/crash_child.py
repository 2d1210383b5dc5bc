"""The process that test_crash kills: eight threads execute commands and note what was acknowledged.

Run as `python -m tests.system.crash_child STORE NOTES ROUND`. A line is noted with one write to a file opened
for appending: once a thread goes on, the line outlives the process.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable

from actors import Receipt, Rejected, System
from tests.system.depot import command_of, depot

THREADS = 8
PIPELINED = 20


class Notes:
    """What was acknowledged, a line each: the command's name, then its receipt in a few numbers."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def receipt(self, name: str, receipt: Receipt) -> None:
        self._write(f"done {name} {receipt.command_id} {receipt.first} {receipt.last} {receipt.version}")

    def refused(self, name: str) -> None:
        self._write(f"refused {name}")

    def outcome(self, name: str, outcome: Receipt | Exception) -> None:
        if isinstance(outcome, Rejected):
            self.refused(name)
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            self.receipt(name, outcome)

    def _write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


def one_by_one(system: System, notes: Notes, names: Callable[[], str]) -> None:
    """Commands with ids of their own."""
    name = names()
    try:
        notes.receipt(name, system.execute(command_of(name), command_id=name))
    except Rejected:
        notes.refused(name)


def without_id(system: System, notes: Notes, names: Callable[[], str]) -> None:
    """The engine makes the id."""
    name = names()
    try:
        notes.receipt(name, system.execute(command_of(name)))
    except Rejected:
        notes.refused(name)


def many(system: System, notes: Notes, names: Callable[[], str]) -> None:
    """A list of commands at once."""
    chosen = [names() for _ in range(PIPELINED)]
    outcomes = system.execute_many(map(command_of, chosen), return_exceptions=True)
    for name, outcome in zip(chosen, outcomes, strict=True):
        notes.outcome(name, outcome)


def pipelined(system: System, notes: Notes, names: Callable[[], str]) -> None:
    """Futures; the last one that was not refused is sent a second time."""
    chosen = [names() for _ in range(PIPELINED)]
    futures = [(name, system.submit(command_of(name), command_id=name)) for name in chosen]
    accepted = ""
    for name, future in futures:
        notes.outcome(name, future.exception() or future.result())
        accepted = accepted if future.exception() else name
    if accepted:
        notes.receipt(accepted, system.execute(command_of(accepted), command_id=accepted))


def main(store: str, notes_path: str, number: str) -> None:
    notes = Notes(notes_path)
    failed = threading.Event()
    with System.open(store, depot, replicas=2) as system:
        print("open", flush=True)

        def work(worker: int) -> None:
            count = itertools.count()
            way = (one_by_one, without_id, many, pipelined)[worker % 4]
            try:
                while True:
                    way(system, notes, lambda: f"r{number}-t{worker}-{next(count)}")
            except BaseException as error:
                print(f"worker {worker} failed: {error!r}", flush=True)
                failed.set()

        for worker in range(THREADS):
            threading.Thread(target=work, args=(worker,), daemon=True).start()
        failed.wait()
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
