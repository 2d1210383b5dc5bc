"""Measures each figure between two runs of the bare loop, and takes the ratio to those two.

Runs on the main thread. What drifts within a minute is the same for a figure and its neighbours.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import (
    CommandEntry,
    Entry,
    Results,
    measure_commands,
    measure_queries,
)
from benchmarks.suite import COMMANDS, QUERIES, RANGES
from benchmarks.workload import PRODUCTS

EVERY: list[Entry] = [*COMMANDS, *QUERIES, *RANGES]
ENTRIES = {entry.key: entry for entry in EVERY}

YARDSTICKS = {
    "commands/bare-submit": (
        "commands/onewriter-submit",
        "commands/onewriter-processes-submit",
        "commands/onewriter-many",
        "commands/onewriter-tasks",
        "queries/onewriter-query",
        "queries/onewriter-many",
        "queries/onewriter-view",
        "ranges/onewriter-view",
    ),
    "commands/bare-1": ("commands/onewriter-1",),
    "commands/bare-64": ("commands/onewriter-64",),
}
"""The bare loops, and the figures that are divided by each: of one caller, of 64, of a pipeline."""

AMOUNTS = {
    "commands/bare-submit": 25_000,
    "commands/bare-1": 1_500,
    "commands/bare-64": 15_000,
    "commands/onewriter-submit": 25_000,
    "commands/onewriter-processes-submit": 25_000,
    "commands/onewriter-many": 15_000,
    "commands/onewriter-tasks": 15_000,
    "commands/onewriter-1": 1_500,
    "commands/onewriter-64": 10_000,
    "queries/onewriter-query": 8_000,
    "queries/onewriter-many": 100_000,
    "queries/onewriter-view": 300_000,
    "ranges/onewriter-view": 30_000,
}
"""How many of each: about half a second of them."""

SMALL = 0.02


@dataclass
class Found:
    """Ratios by key, one a round, with the rates that they are of, and why one is missing."""

    ratios: dict[str, list[float]]
    rates: dict[str, list[float]]
    missing: dict[str, str]


def measure(
    keys: Sequence[str], *, folder: Path, rounds: int, seconds: float | None = None, share: float = 1.0
) -> Found:
    """The ratio of each of these figures to its yardstick, in every round. `share` of the usual amounts.

    With `seconds` no round begins that would end later than that, but the first.
    """
    found = Found({}, {}, {})
    started = time.perf_counter()
    for number in range(rounds):
        # As long as the rounds before, on average.
        due = (time.perf_counter() - started) * (number + 1) / max(number, 1)
        if seconds is not None and number and due > seconds:
            break
        for yardstick, held in YARDSTICKS.items():
            chosen = [key for key in held if key in keys]
            before = _rates(yardstick, folder, share)[yardstick] if chosen else 0.0
            for key in chosen:
                if key in found.missing:
                    continue
                try:
                    rates = _rates(key, folder, share)
                except Exception as error:
                    found.missing[key] = f"{type(error).__name__}: {error}"
                    continue
                after = _rates(yardstick, folder, share)[yardstick]
                for name, rate in rates.items():
                    found.ratios.setdefault(name, []).append(rate / ((before + after) / 2))
                    found.rates.setdefault(name, []).append(rate)
                found.rates.setdefault(yardstick, []).append(after)
                before = after
    return found


def _rates(key: str, folder: Path, share: float) -> dict[str, float]:
    """The rate of one entry; with pipelined commands also that until all replicas have applied them."""
    entry = ENTRIES[key]
    results = Results()
    total = max(int(AMOUNTS[key] * share), PRODUCTS)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        if isinstance(entry, CommandEntry):
            measure_commands(entry, Path(own), 0, total, results)
        else:
            measure_queries(entry, Path(own), 0, total, results)
    # Only with commands that nobody waits for is there anything left to apply at the end.
    return {
        name: by_round[0]
        for name, by_round in results.rates.items()
        if name == key or key.endswith("-submit")
    }
