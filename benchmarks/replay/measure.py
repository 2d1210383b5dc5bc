"""Replays histories by several ways in each round, one after the other. The main thread."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.frozen_heap import frozen_heap
from benchmarks.replay.peers import LmdbBulkLoad, OneWriterReplay, ReplayPeer, SqliteLoop
from benchmarks.replay.workload import EACH, expected

OURS = "onewriter"
NEW_ROWS = ", each event a new row"
"""At the end of a label: every product has one event, and they come in no order."""


@dataclass(frozen=True)
class Entry:
    """A line of the table. One that is slow replays `part` of the history."""

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
        with frozen_heap():
            seconds = peer.replay()
            found = peer.found()
    finally:
        peer.close()
    right = expected(total, entry.each)
    if found != right:
        raise RuntimeError(f"{entry.label}: rows and prices are {found}, not {right}")
    return seconds
