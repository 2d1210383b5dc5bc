"""`python -m benchmarks.replay`: replays histories by several ways in each round and prints the rates and ratios."""

from __future__ import annotations

import argparse
import gc
import importlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import disk, machine, markdown, write_results
from benchmarks.replay.peers import LmdbBulkLoad, OneWriterReplay, ReplayPeer, SqliteLoop
from benchmarks.replay.workload import EACH, expected

AIM = 100_000
OURS = "onewriter"
NEW_ROWS = ", each event a new row"
"""At the end of a label: every product has one event, and they come in no order."""


@dataclass(frozen=True)
class Entry:
    """A line of the table. One that is slow replays `part` of the history: its rate does not depend on the length."""

    label: str
    make: Callable[[], ReplayPeer]
    part: float = 1.0

    @property
    def each(self) -> int:
        """Events of each product."""
        return 1 if self.label.endswith(NEW_ROWS) else EACH


def _eventsourcing(**settings: Any) -> Callable[[], ReplayPeer]:
    def make() -> ReplayPeer:
        peer: ReplayPeer = importlib.import_module(
            "benchmarks.replay.eventsourcing_runner"
        ).EventsourcingReplay(**settings)
        return peer

    return make


ENTRIES = [
    Entry(OURS, OneWriterReplay),
    Entry("sqlite3 loop", SqliteLoop),
    Entry("eventsourcing's ProjectionRunner", _eventsourcing(), 0.05),
    Entry("eventsourcing's ProjectionRunner, in memory", _eventsourcing(in_memory=True), 0.1),
    Entry(OURS + NEW_ROWS, OneWriterReplay),
    Entry("sqlite3 loop" + NEW_ROWS, SqliteLoop),
    Entry("LMDB's bulk load" + NEW_ROWS, LmdbBulkLoad),
]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    events = options.events or (20_000 if options.quick else 200_000)
    rounds = options.rounds or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as name:
        folder = Path(name).resolve()
        print(f"{events:,} events, {EACH} of each product, rounds: {rounds}")
        print(machine())
        print(disk(folder), flush=True)
        rates, keeps = measure_all(folder, events, rounds)
    table = rates_table(rates)
    print("", table, "", sep="\n")
    print(*(f"  {label}: {text}" for label, text in keeps.items()), sep="\n")
    ours = statistics.median(rates[OURS])
    print(f"\nAim: {AIM:,} events a second: {'met' if ours >= AIM else 'not met'}")
    settings = {"events": events, "each": EACH, "rounds": rounds, "aim": AIM}
    print(f"Written to {write_results(Path(options.out), 'replay', settings, rates, table)}")
    return 0


def measure_all(folder: Path, events: int, rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Events a second by label, one figure a round, and what each peer keeps."""
    rates: dict[str, list[float]] = {}
    keeps: dict[str, str] = {}
    for round_number in range(rounds):
        for entry in ENTRIES if round_number % 2 == 0 else reversed(ENTRIES):
            total = max(int(events * entry.part), EACH)
            with tempfile.TemporaryDirectory(dir=folder) as own:
                rates.setdefault(entry.label, []).append(total / measure(entry, Path(own), total, keeps))
    return rates, keeps


def measure(entry: Entry, folder: Path, total: int, keeps: dict[str, str]) -> float:
    """Seconds of one replay; raises if the table is not what the history says."""
    peer = entry.make()
    peer.each = entry.each
    try:
        peer.fill(folder, total)
        keeps[entry.label] = peer.keeps
        gc.collect()
        # What is left of the filling is no peer's fault: the collector is not to walk it again and again.
        gc.freeze()
        seconds = peer.replay()
        found = peer.found()
    finally:
        gc.unfreeze()
        peer.close()
    right = expected(total, entry.each)
    if found != right:
        raise RuntimeError(f"{entry.label}: rows and prices are {found}, not {right}")
    return seconds


HEADER = ["events a second", "median", "lowest", "highest", f"{OURS} / it"]


def rates_rows(rates: dict[str, list[float]]) -> list[list[str]]:
    """Events a second, and the median over the rounds of the ratio of ours, of the same history, within a round."""
    return [
        [
            label,
            f"{statistics.median(of_label):,.0f}",
            f"{min(of_label):,.0f}",
            f"{max(of_label):,.0f}",
            f"{statistics.median(map(_ratio, rates[OURS + _suffix(label)], of_label)):.2f}",
        ]
        for label, of_label in rates.items()
    ]


def rates_table(rates: dict[str, list[float]]) -> str:
    """The same as Markdown."""
    return markdown(HEADER, rates_rows(rates))


def _suffix(label: str) -> str:
    return NEW_ROWS if label.endswith(NEW_ROWS) else ""


def _ratio(one: float, other: float) -> float:
    return one / other


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small round: does everything run?")
    parser.add_argument("--events", type=int, metavar="N", help="more on a fast machine")
    parser.add_argument("--rounds", type=int, metavar="N", help="more on a machine whose speed drifts")
    parser.add_argument("--dir", default=".", metavar="PATH", help="a folder on the disk to measure")
    parser.add_argument("--out", default="build", metavar="PATH", help="where the figures are written")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
