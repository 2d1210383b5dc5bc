"""All workloads on all peers, one after the other within each round.

Runs on the main thread; the callers of `benchmarks.mixes.run` are threads of this process.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.durations import Durations
from benchmarks.mixes.client import MixPeer
from benchmarks.mixes.lmdb_peer import LmdbMix
from benchmarks.mixes.onewriter_peer import OnewriterMix
from benchmarks.mixes.run import Run, run
from benchmarks.mixes.sqlite_peer import SqliteMix
from benchmarks.mixes.workloads import WORKLOADS, Chooser, Kind, Operation, Workload, first_records

CALLERS = (1, 8)
BASE = SqliteMix.key

Line = tuple[str, int, str]
"""Name of the workload, number of callers, key of the peer with its way to read."""


@dataclass
class Found:
    """One line of the table: the rates of all rounds, and the durations of all together."""

    rates: list[float] = field(default_factory=list)
    reads: Durations = field(default_factory=Durations)
    writes: Durations = field(default_factory=Durations)
    missed: int = 0

    def add(self, one: Run) -> None:
        """Count a round."""
        self.rates.append(one.rate)
        self.reads.merge(one.reads)
        self.writes.merge(one.writes)
        self.missed += one.missed


@dataclass
class Mixes:
    """What was measured, and the labels and promises of who was measured."""

    records: int
    seconds: float
    rounds: int
    found: dict[Line, Found] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    promises: dict[str, str] = field(default_factory=dict)

    def ratio(self, line: Line) -> float:
        """The median over the rounds of the rate to that of sqlite3 in the same round."""
        workload, callers, _ = line
        base = self.found[workload, callers, BASE].rates
        return statistics.median(
            rate / other for rate, other in zip(self.found[line].rates, base, strict=True)
        )


def peers() -> list[MixPeer]:
    """Those that are measured; a peer comes after the one whose files it copies."""
    threads = OnewriterMix()
    return [threads, OnewriterMix("process", copy_of=threads), SqliteMix(), LmdbMix()]


def measure(
    folder: Path,
    *,
    records: int,
    seconds: float,
    rounds: int,
    progress: Callable[[str], object] = lambda _: None,
) -> Mixes:
    """Every workload on every peer, with one caller and with several, for `seconds` in each of the rounds.

    Raises RuntimeError when a record that is there was not found, or an acknowledged write is missing.
    """
    mixes = Mixes(records, seconds, rounds)
    with ExitStack() as opened:
        bench = _Bench(mixes, Chooser(records), opened)
        bench.load(folder, progress)
        bench.warm_up()
        for number in range(rounds):
            for workload in WORKLOADS:
                for callers in CALLERS:
                    progress(f"round {number + 1} of {rounds}: {workload.title}, callers: {callers}")
                    bench.round(number, workload, callers)
    return mixes


class _Bench:
    """The peers with their stores open."""

    def __init__(self, mixes: Mixes, chooser: Chooser, opened: ExitStack) -> None:
        self._mixes = mixes
        self._chooser = chooser
        self._opened = opened
        self._peers = peers()

    def load(self, folder: Path, progress: Callable[[str], object]) -> None:
        for peer in self._peers:
            progress(f"{self._mixes.records:,} records into {peer.label}")
            self._opened.callback(peer.close)
            place = folder / peer.key
            place.mkdir()
            peer.load(place, first_records(self._chooser.keys))
        for peer in self._peers:
            peer.open()
            self._mixes.promises[peer.label] = peer.promises
            for way in peer.ways:
                self._mixes.labels[line_key(peer, way)] = f"{peer.label}, {way}" if way else peer.label

    def warm_up(self) -> None:
        """Reads and writes that are not counted, so that the first line finds warm caches too."""
        for peer in self._peers:
            for way in peer.ways:
                self._run(peer, way, WORKLOADS[0], self._operations(WORKLOADS[0], seed=0), max(CALLERS))

    def round(self, number: int, workload: Workload, callers: int) -> None:
        """One workload on all peers, in turned order every other round."""
        # Inserts are of new records each time; all else is the same for all peers.
        seed = 1 + number * 100 + callers
        operations = self._operations(workload, seed)
        for peer in self._peers if number % 2 == 0 else reversed(self._peers):
            for way in peer.ways:
                if workload.write is Kind.INSERT:
                    operations = self._operations(workload, seed)
                found = self._mixes.found.setdefault((workload.name, callers, line_key(peer, way)), Found())
                found.add(self._run(peer, way, workload, operations, callers))

    def _operations(self, workload: Workload, seed: int) -> list[Operation]:
        return self._chooser.operations(workload, max(int(workload.highest * self._mixes.seconds), 100), seed)

    def _run(
        self, peer: MixPeer, way: str, workload: Workload, operations: Sequence[Operation], callers: int
    ) -> Run:
        before = peer.written()
        one = run(lambda: peer.client(way), operations, self._chooser.keys, callers, self._mixes.seconds)
        peer.settle()
        if one.missed and workload.write is not Kind.INSERT:
            raise RuntimeError(f"{peer.label} did not find {one.missed} records that were there")
        after = peer.written()
        if before is not None and after is not None and after - before != len(one.writes):
            raise RuntimeError(
                f"{peer.label} acknowledged {len(one.writes)} writes and kept {after - before} of them"
            )
        return one


def line_key(peer: MixPeer, way: str) -> str:
    """The name of a peer, read in one of its ways, in figures."""
    return f"{peer.key}-{way}" if way else peer.key
