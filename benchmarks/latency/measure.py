"""Each subject under a quarter, a half and three quarters of the highest rate that it reaches by itself.

Runs on the main thread; the clients of `benchmarks.latency.load` are threads of this process.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.latency.load import Call, Measured, closed_load, open_load, submitted_load
from benchmarks.latency.schedule import of_clients
from benchmarks.latency.subjects import Generator, OnewriterSubmit, Subject, subjects, taken

LOADS = (25, 50, 75)
"""Percent of the highest rate."""
WAKINGS = 20_000.0
"""The most operations a second that are asked for: about as many as clients can be woken for."""
TRIAL = 0.3
"""How long the highest rate is looked for, in parts of the seconds at each load."""
FIRST_TRIAL = 2_000

COMMANDS, QUERIES = "commands", "queries"


@dataclass
class Steady:
    """One line of the table: what one load gave, over all rounds."""

    rates: list[float] = field(default_factory=list)
    """Operations a second that were due."""
    longest: float = 0.0
    """Seconds until the last reply, in the round where that took longest."""
    measured: Measured = field(default_factory=Measured)

    def add(self, rate: float, one: Measured) -> None:
        """Count a round."""
        self.rates.append(rate)
        self.longest = max(self.longest, one.seconds)
        self.measured.merge(one)


@dataclass
class Found:
    """What was measured of one subject; `closed` is a closed load with as many clients as there are."""

    label: str
    clients: int
    closed: Measured = field(default_factory=Measured)
    highest: list[float] = field(default_factory=list)
    loads: dict[int, Steady] = field(default_factory=dict)


@dataclass
class Latencies:
    """All subjects by what they do and by their name; those that could not be measured, with the reason."""

    seconds: float
    rounds: int
    arrivals: str
    found: dict[str, dict[str, Found]] = field(default_factory=lambda: {COMMANDS: {}, QUERIES: {}})
    nothing: dict[float, Steady] = field(
        default_factory=lambda: {rate: Steady() for rate in (WAKINGS / 5, WAKINGS)}
    )
    """Calls that do nothing, by operations a second."""
    missing: dict[str, str] = field(default_factory=dict)


def measure(
    folder: Path,
    *,
    seconds: float,
    rounds: int,
    arrivals: str,
    progress: Callable[[str], object] = lambda _: None,
) -> Latencies:
    """Every subject in every round, for `seconds` at each load. A peer that is not installed is left out."""
    latencies = Latencies(seconds, rounds, arrivals)
    for number in range(rounds):
        with _Bench(Generator(), folder, latencies, number) as bench:
            for rate, nothing in latencies.nothing.items():
                nothing.add(rate, bench.load(rate))
        for kind, chosen in zip((COMMANDS, QUERIES), subjects(), strict=True):
            for subject in chosen if number % 2 == 0 else reversed(chosen):
                if subject.label in latencies.missing:
                    continue
                progress(f"round {number + 1} of {rounds}: {kind}, {subject.label}")
                try:
                    with _Bench(subject, folder, latencies, number) as bench:
                        _one_round(bench, latencies.found[kind])
                except ModuleNotFoundError as error:
                    latencies.missing[subject.label] = f"not installed: {error}"
    return latencies


def _one_round(bench: _Bench, found: dict[str, Found]) -> None:
    subject = bench.subject
    one = found.setdefault(subject.key, Found(subject.label, subject.clients))
    for load in LOADS:
        # Again for each load, since machines drift.
        rate = min(bench.highest(one) * load / 100, WAKINGS)
        one.loads.setdefault(load, Steady()).add(rate, bench.load(rate))


class _Bench:
    """A subject with its store open, as a context manager."""

    def __init__(self, subject: Subject, folder: Path, latencies: Latencies, seed: int) -> None:
        self.subject = subject
        self._folder = folder
        self._latencies = latencies
        self._seed = seed * 1_000

    def __enter__(self) -> _Bench:
        self._place = tempfile.TemporaryDirectory(dir=self._folder)
        try:
            self._calls: list[Call] = self.subject.setup(Path(self._place.name))
            clients = range(self.subject.clients)
            self._items: list[Iterator[Any]] = [self.subject.items(client) for client in clients]
            closed_load(self._calls, [self.subject.first(client) for client in clients], float("inf"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.subject.close()
        finally:
            self._place.cleanup()

    def highest(self, found: Found) -> float:
        """Operations a second without a schedule, and the latencies that a closed load shows."""
        seconds = self._latencies.seconds * TRIAL
        if isinstance(self.subject, OnewriterSubmit):
            # Handed over at once, as many as take about so long.
            number = int(statistics.median(found.highest) * seconds) if found.highest else FIRST_TRIAL
            measured = submitted_load(self.subject.submit, taken(self._items[0], number), [0.0] * number)
        else:
            measured = closed_load(self._calls, self._items, seconds)
            found.closed.merge(measured)
        self.subject.settle()
        found.highest.append(measured.rate)
        return measured.rate

    def load(self, rate: float) -> Measured:
        """The latencies at this many operations a second, by all clients together."""
        self._seed += 100
        clients = len(self._calls)
        seconds = self._latencies.seconds
        schedules = of_clients(self._latencies.arrivals, rate, seconds, self._seed, clients)
        work = [taken(items, len(own)) for items, own in zip(self._items, schedules, strict=True)]
        if isinstance(self.subject, OnewriterSubmit):
            measured = submitted_load(self.subject.submit, work[0], schedules[0])
        else:
            measured = open_load(self._calls, work, schedules)
        self.subject.settle()
        return measured
