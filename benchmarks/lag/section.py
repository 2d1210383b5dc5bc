"""Replication lag as a part of the report: three replicas in threads and in processes, beside the disk's fsyncs."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.lag.measure import Bench, Steady
from benchmarks.lag.plot import plot
from benchmarks.machine import fsync_seconds
from benchmarks.peers.onewriter import REPLICAS, Workers
from benchmarks.quantiles import Spread
from benchmarks.ratios import range_of
from benchmarks.section import Section

LOADS = (25, 50, 80)
HALF = 50
WORKERS: tuple[Workers, ...] = ("thread", "process")

TEXT = f"""
{REPLICAS} replicas. Commands are sent at moments that are fixed beforehand, at parts of the highest rate, which is
measured anew before each: that of commands sent without waiting until every replica has applied the last. The lag is
from the commit of a position until a replica had applied it and the writer's process knew, over all positions and
replicas, without the first tenth. The last column is the 99th percentile in fsyncs: each round measures what an
appended page and its fsync take just before the commands are sent.
"""

Rounds = dict[Workers, dict[int, list[tuple[Steady, float]]]]
"""What was found and how long an fsync took, one a round, by workers and load in percent."""


def section(folder: Path, *, quick: bool) -> Section:
    """Measured in `folder`."""
    seconds, rounds, trial = (0.5, 1, 2_000) if quick else (5.0, 3, 20_000)
    found: Rounds = {workers: {load: [] for load in LOADS} for workers in WORKERS}
    for _ in range(rounds):
        for workers in WORKERS:
            with tempfile.TemporaryDirectory(dir=folder) as own:
                bench = Bench(Path(own), REPLICAS, workers)
                try:
                    for load in LOADS:
                        highest = bench.highest_rate(trial)
                        fsync = fsync_seconds(Path(own))
                        found[workers][load].append((bench.steady(highest * load / 100, seconds), fsync))
                finally:
                    bench.close()
    return section_of(found)


def section_of(found: Mapping[Workers, Mapping[int, Sequence[tuple[Steady, float]]]]) -> Section:
    """What was found, as a section; pure."""
    rows = []
    figures: dict[str, float] = {}
    lines: dict[str, dict[int, Spread]] = {}
    for workers, by_load in found.items():
        for load, runs in by_load.items():
            lag = Spread(
                statistics.median(steady.lag.p50 for steady, _ in runs),
                statistics.median(steady.lag.p99 for steady, _ in runs),
                max(steady.lag.max for steady, _ in runs),
            )
            lines.setdefault(f"in {NAMES[workers]}", {})[load] = lag
            in_fsyncs = range_of(steady.lag.p99 / fsync for steady, fsync in runs)
            rate = statistics.median(steady.sent for steady, _ in runs)
            milliseconds = [f"{value * 1e3:.2f}" for value in (lag.p50, lag.p99, lag.max)]
            rows.append(
                (NAMES[workers], f"{load} %", f"{rate:,.0f}", *milliseconds, f"{in_fsyncs.median:.1f}")
            )
            for name, value in zip(("p50", "p99", "max"), (lag.p50, lag.p99, lag.max), strict=True):
                figures[f"lag/{workers}/{load}/{name}_seconds"] = value
            figures[f"lag/{workers}/{load}/commands_per_second"] = rate
            if load == HALF:
                figures |= in_fsyncs.figures(f"lag/{workers}/p99_in_fsyncs")
    return Section(
        title="Replication lag",
        text=TEXT.strip(),
        header=("replicas in", "load", "commands a second", "p50 ms", "p99 ms", "max ms", "p99 in fsyncs"),
        rows=rows,
        figures=figures,
        plots=[partial(_plot, lines)],
    )


NAMES: dict[Workers, str] = {"thread": "threads", "process": "processes"}


def _plot(lines: Mapping[str, Mapping[int, Spread]], folder: Path) -> str:
    plot(folder / "lag.svg", LOADS, lines)
    return "lag.svg"
