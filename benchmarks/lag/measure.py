"""Sends commands at a fixed rate and notes when each position is committed and applied.

Commands are sent by the calling thread, at moments that were fixed beforehand: one that is late makes none of
the others later, so a system that stalls for a while is charged for all that should have come meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from actors import System
from benchmarks.domain import ChangePrice
from benchmarks.durations import Durations, Spread
from benchmarks.frozen_heap import frozen_heap
from benchmarks.lag.figures import Step, lags
from benchmarks.peers.onewriter import Workers, opened
from benchmarks.workload import PRODUCTS, listing, sku

TIMEOUT = 120.0
WARM_UP = 0.1
"""The first part of each measurement, which is not counted."""


@dataclass(frozen=True)
class Steady:
    """What one rate gave: `rate` was asked for, `sent` was sent, `late` is the longest delay of one."""

    rate: float
    sent: float
    late: float
    lag: Spread


class Bench:
    """A system with its products listed, and what it does from then on."""

    def __init__(self, folder: Path, replicas: int, workers: Workers = "thread") -> None:
        self._commits: list[Step] = []
        self._applied: dict[str, list[Step]] = defaultdict(list)
        self._changed = threading.Condition()
        self._system = opened(folder / "shop", replicas, workers)
        self._commands = _reprices()
        self._system.on_committed(lambda _first, last: self._commits.append((time.perf_counter(), last)))
        self._system.on_applied(self._note_applied)
        self._system.execute_many([listing(number) for number in range(PRODUCTS)])
        self._system.wait_applied(timeout=TIMEOUT)

    def _note_applied(self, replica: str, position: int, _lag: float) -> None:
        with self._changed:
            self._applied[replica].append((time.perf_counter(), position))
            self._changed.notify_all()

    def _wait_noted(self) -> None:
        """Wait until `on_applied` has reported all that is applied, which it does a moment later."""
        position = self._system.position

        def noted() -> bool:
            steps = [self._applied[name] for name in self._system.replica_names]
            return all(one and one[-1][1] >= position for one in steps)

        with self._changed:
            if not self._changed.wait_for(noted, TIMEOUT):
                raise RuntimeError(f"position {position} was applied, and on_applied never reported it")

    def highest_rate(self, commands: int) -> float:
        """Commands a second, sent without waiting, until every replica has applied the last."""
        submit = self._system.submit
        sent = [next(self._commands) for _ in range(commands)]
        started = time.perf_counter()
        futures = [submit(command) for command in sent]
        for future in futures:
            future.result(timeout=TIMEOUT)
        self._system.wait_applied(timeout=TIMEOUT)
        return commands / (time.perf_counter() - started)

    def steady(self, rate: float, seconds: float) -> Steady:
        """The lags of `seconds` at `rate` commands a second."""
        self._wait_noted()
        self._commits.clear()
        self._applied.clear()
        commands = [next(self._commands) for _ in range(int(rate * seconds))]
        begun_at = self._system.position
        with frozen_heap():
            late, took = send_at(self._system, commands, rate)
            self._system.execute(next(self._commands))
            self._system.wait_applied(timeout=TIMEOUT)
            self._wait_noted()
        written = self._system.position - begun_at
        if written != len(commands) + 1:
            raise RuntimeError(f"{len(commands) + 1} commands were sent, {written} events are in the log")
        after = begun_at + int(len(commands) * WARM_UP)
        durations = Durations()
        for name in self._system.replica_names:
            for lag, positions in lags(self._commits, self._applied[name], after):
                durations.record(lag, positions)
        return Steady(rate, len(commands) / took, late, durations.spread)

    def close(self) -> None:
        """Close the system."""
        self._system.close()


def _reprices() -> Iterator[ChangePrice]:
    for number in count():
        yield ChangePrice(sku(number % PRODUCTS), 5_000 + number)


def send_at(system: System, commands: Iterable[Any], rate: float) -> tuple[float, float]:
    """Send them at `rate` a second; how late the latest was, and how long sending took, both in seconds.

    Nobody waits for the receipts.
    """
    submit, clock, sleep = system.submit, time.perf_counter, time.sleep
    late = 0.0
    started = clock()
    for number, command in enumerate(commands):
        behind = clock() - started - number / rate
        if behind < 0:
            sleep(-behind)
        else:
            late = max(late, behind)
        submit(command, timeout=TIMEOUT)
    return late, clock() - started
