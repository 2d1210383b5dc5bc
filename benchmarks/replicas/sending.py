"""An open bank, the three ways in which one caller sends it commands, and what these take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from actors import System
from benchmarks.frozen_heap import frozen_heap
from benchmarks.peers.base import in_batches
from benchmarks.peers.onewriter import Workers
from benchmarks.replicas.bank import Deposit, bank, deposits, openings
from benchmarks.workload import BATCH

TIMEOUT = 120.0


def by_execute(system: System, commands: Sequence[Deposit]) -> None:
    """One after the other, each with its receipt."""
    for command in commands:
        system.execute(command)


def by_execute_many(system: System, commands: Sequence[Deposit]) -> None:
    """In hundreds."""
    for batch in in_batches(commands, BATCH):
        system.execute_many(batch)


def by_submit(system: System, commands: Sequence[Deposit]) -> None:
    """All of them, then their receipts."""
    for future in [system.submit(command) for command in commands]:
        future.result(timeout=TIMEOUT)


WAYS: dict[str, tuple[Callable[[System, Sequence[Deposit]], None], float]] = {
    "execute": (by_execute, 0.2),
    "execute_many": (by_execute_many, 1.0),
    "submit": (by_submit, 1.0),
}
"""How commands are sent, and which part of the number that is asked for."""

TITLES = {"execute": "execute", "execute_many": f"execute_many by {BATCH}", "submit": "submit"}


@dataclass(frozen=True)
class Used:
    """Seconds on a processor, of all threads of this process, and seconds of the clock."""

    cpu: float
    wall: float


class Stopwatch:
    """What this process has used since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def used(self, parts: int = 1) -> Used:
        """Divided by `parts`."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return Used(cpu / parts, wall / parts)


class OpenBank:
    """A bank with its accounts open, and so many replicas that have applied that."""

    def __init__(self, path: Path, replicas: int, workers: Workers = "thread") -> None:
        self.system = System.open(path, bank, replicas=replicas, workers=workers)
        self.deposits = deposits()
        try:
            self.system.execute_many(openings(), timeout=TIMEOUT)
            self.system.wait_applied(timeout=TIMEOUT)
        except BaseException:
            self.system.close()
            raise

    def send(self, way: str, commands: int) -> Used:
        """What each of them took, until every replica had applied the last.

        Raises RuntimeError if the log has another number of events then.
        """
        send, part = WAYS[way]
        number = max(int(commands * part), 1)
        todo = list(islice(self.deposits, number))
        before = self.system.position
        with frozen_heap():
            stopwatch = Stopwatch()
            send(self.system, todo)
            self.system.wait_applied(timeout=TIMEOUT)
            used = stopwatch.used(number)
        written = self.system.position - before
        if written != number:
            raise RuntimeError(f"{number} commands were sent, {written} events are in the log")
        return used

    def close(self) -> None:
        """Close the system."""
        self.system.close()
