"""Measures all entries round by round, so that a machine whose speed drifts is unfair to none.

Runs on the main thread; every measurement has an empty folder of its own, which goes away with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.frozen_heap import frozen_heap
from benchmarks.peers.base import CommandPeer, QueryPeer
from benchmarks.progress import show_progress
from benchmarks.workload import BATCH, PRODUCTS, Lookups, Wanted, lookups, right_answers, shares

# Peers that a machine may do without, as far as this package is concerned.
OPTIONAL = ("eventsourcing", "umadb")
CHECKED_ANSWERS = 100
APPLIED = "/applied"


@dataclass(frozen=True)
class CommandEntry:
    """One line of the commands table; `key` names it for `--only` and for the aims.

    `times` as many commands as were asked for, so that a fast one is not measured for a blink only.
    """

    key: str
    label: str
    make: Callable[[], CommandPeer]
    callers: int = 1
    times: float = 1.0


@dataclass(frozen=True)
class QueryEntry:
    """A line of a queries table; `wanted` says which answers are right, `times` scales the look-ups."""

    key: str
    label: str
    make: Callable[[], QueryPeer]
    wanted: Wanted = "row"
    times: float = 1.0


Entry = CommandEntry | QueryEntry


@dataclass
class Results:
    """Rates by entry key, one a round; what could not be measured says why."""

    rates: dict[str, dict[int, float]] = field(default_factory=dict)
    promises: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, round_number: int, rate: float) -> None:
        self.rates.setdefault(key, {})[round_number] = rate


def measure(
    entries: Sequence[Entry], *, folder: Path, rounds: int, commands: int, queries: int
) -> tuple[Results, bool]:
    """All entries in every round, in turned order every other round; False if one failed.

    A peer that is not installed is left out, one that fails is left out from then on; both are reported.
    """
    results = Results()
    sound = True
    for round_number in range(rounds):
        for entry in entries if round_number % 2 == 0 else reversed(entries):
            if entry.key in results.missing:
                continue
            show_progress(f"round {round_number + 1} of {rounds}: {entry.label}")
            try:
                with tempfile.TemporaryDirectory(dir=folder) as own:
                    if isinstance(entry, CommandEntry):
                        total = max(int(commands * entry.times), PRODUCTS)
                        measure_commands(entry, Path(own), round_number, total, results)
                    else:
                        measure_queries(
                            entry, Path(own), round_number, max(int(queries * entry.times), BATCH), results
                        )
            except ModuleNotFoundError as error:
                sound = sound and error.name in OPTIONAL
                results.missing[entry.key] = f"not installed: {error}"
            except Exception as error:
                sound = False
                results.missing[entry.key] = f"failed: {type(error).__name__}: {error}"
    show_progress("")
    return results, sound


def measure_commands(
    entry: CommandEntry, folder: Path, round_number: int, total: int, results: Results
) -> None:
    """One measurement of this many commands."""
    work = shares(entry.callers, total)
    peer = entry.make()
    results.promises[entry.key] = peer.promises
    try:
        peer.setup(folder)
        with frozen_heap():
            seconds = peer.commands(work)
            settling = peer.settle()
        written = peer.written()
    finally:
        peer.close()
    if written != total:
        raise RuntimeError(f"{total} commands were acknowledged, {written} events are in the store")
    results.add(entry.key, round_number, total / seconds)
    if settling is not None:
        results.add(entry.key + APPLIED, round_number, total / (seconds + settling))


def measure_queries(entry: QueryEntry, folder: Path, round_number: int, total: int, results: Results) -> None:
    """One measurement of this many look-ups."""
    look = lookups(total)
    sample = Lookups(look.skus[:CHECKED_ANSWERS], look.prices[:CHECKED_ANSWERS])
    peer = entry.make()
    results.promises[entry.key] = peer.promises
    try:
        peer.setup(folder)
        if peer.answer(sample) != right_answers(sample, entry.wanted):
            raise RuntimeError("wrong answers")
        with frozen_heap():
            seconds = peer.queries(look)
    finally:
        peer.close()
    results.add(entry.key, round_number, len(look.skus) / seconds)
