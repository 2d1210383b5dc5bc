"""Replication lag as a part of the report: replicas in threads, on one core, and in processes."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

from benchmarks.cores import POSSIBLE, on_one_core
from benchmarks.durations import Spread
from benchmarks.lag.measure import Bench, Steady
from benchmarks.lag.plot import plot
from benchmarks.machine import fsync_seconds
from benchmarks.peers.onewriter import REPLICAS, Workers
from benchmarks.ratios import range_of
from benchmarks.section import Section

LOADS = (25, 50, 80)
HALF = 50
Way = Workers | Literal["one-core"]
"""How it runs: with worker processes or without, or without and all of it on one core."""

WAYS: tuple[Way, ...] = ("thread", "one-core", "process") if POSSIBLE else ("thread", "process")
NAMES: dict[Way, str] = {"thread": "threads", "one-core": "threads, on one core", "process": "processes"}

TEXT = """
{replicas} replicas. Commands are sent at moments that are fixed beforehand, at parts of the
highest rate, which is measured again before each: that of commands sent without waiting until every replica
has applied the last. The lag is from the commit of a position until a replica had applied it and the writer's
process knew, over all positions and replicas, without the first tenth. The last column is the 99th percentile
in fsyncs: each round measures what an appended page and its fsync take just before the commands are sent.
"""

Rounds = dict[Way, dict[int, list[tuple[Steady, float]]]]
"""What was found and how long an fsync took, one a round, by the way of running and load in percent."""


def section(
    folder: Path,
    *,
    quick: bool,
    seconds: float | None = None,
    rounds: int | None = None,
    replicas: int = REPLICAS,
) -> Section:
    """Measured in `folder`, which is empty."""
    seconds = seconds or (0.5 if quick else 5.0)
    trial = 2_000 if quick else 20_000
    found: Rounds = {way: {load: [] for load in LOADS} for way in WAYS}
    for _ in range(rounds or (1 if quick else 3)):
        for way in WAYS:
            with (
                tempfile.TemporaryDirectory(dir=folder) as own,
                on_one_core() if way == "one-core" else nullcontext(),
            ):
                bench = Bench(Path(own), replicas, "process" if way == "process" else "thread")
                try:
                    for load in LOADS:
                        highest = bench.highest_rate(trial)
                        fsync = fsync_seconds(Path(own))
                        found[way][load].append((bench.steady(highest * load / 100, seconds), fsync))
                finally:
                    bench.close()
    return section_of(found, replicas)


def section_of(found: Mapping[Way, Mapping[int, Sequence[tuple[Steady, float]]]], replicas: int) -> Section:
    """What was found, as a section; pure."""
    rows = []
    figures: dict[str, float] = {}
    lines: dict[str, dict[int, Spread]] = {}
    for way, by_load in found.items():
        for load, runs in by_load.items():
            lag = Spread(
                statistics.median(steady.lag.p50 for steady, _ in runs),
                statistics.median(steady.lag.p99 for steady, _ in runs),
                max(steady.lag.max for steady, _ in runs),
            )
            lines.setdefault(f"in {NAMES[way]}", {})[load] = lag
            in_fsyncs = range_of(steady.lag.p99 / fsync for steady, fsync in runs)
            rate = statistics.median(steady.sent for steady, _ in runs)
            milliseconds = [f"{value * 1e3:.2f}" for value in (lag.p50, lag.p99, lag.max)]
            rows.append((NAMES[way], f"{load} %", f"{rate:,.0f}", *milliseconds, f"{in_fsyncs.median:.1f}"))
            for name, value in zip(("p50", "p99", "max"), (lag.p50, lag.p99, lag.max), strict=True):
                figures[f"lag/{way}/{load}/{name}_seconds"] = value
            figures[f"lag/{way}/{load}/commands_per_second"] = rate
            if load == HALF:
                figures |= in_fsyncs.figures(f"lag/{way}/p99_in_fsyncs")
                in_milliseconds = range_of(steady.lag.p99 * 1e3 for steady, _ in runs)
                figures |= in_milliseconds.figures(f"lag/{way}/p99_milliseconds")
    return Section(
        title="Replication lag",
        text=TEXT.format(replicas=replicas).strip(),
        header=("replicas in", "load", "commands a second", "p50 ms", "p99 ms", "max ms", "p99 in fsyncs"),
        rows=rows,
        figures=figures,
        plots=[partial(_plot, lines)],
    )


def _plot(lines: Mapping[str, Mapping[int, Spread]], folder: Path) -> str:
    plot(folder / "lag.svg", LOADS, lines)
    return "lag.svg"
