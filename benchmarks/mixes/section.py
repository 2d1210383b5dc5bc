"""The mixes as a part of the report: the table, what is said of it, the figures and the plot."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.durations import Durations
from benchmarks.mixes.measure import CALLERS, Mixes, measure
from benchmarks.mixes.onewriter_peer import REPLICAS
from benchmarks.mixes.workloads import WORKLOADS, Kind
from benchmarks.plots import drawn
from benchmarks.progress import show_progress
from benchmarks.section import Section

HEADER = (
    "workload",
    "callers",
    "",
    "operations a second",
    "/ sqlite3",
    "read p50 us",
    "read p99 us",
    "write p50 us",
    "write p99 us",
)
SHARES = (0.5, 0.99)
NAMES = ("p50", "p99")


def section(
    folder: Path,
    *,
    quick: bool,
    records: int | None = None,
    seconds: float | None = None,
    rounds: int | None = None,
) -> Section:
    """Measure in `folder`, which is empty; about 4 minutes, or 10 seconds if `quick`."""
    return section_of(
        measure(
            folder,
            records=records or (10_000 if quick else 1_000_000),
            seconds=seconds or (0.1 if quick else 1.0),
            rounds=rounds or (1 if quick else 2),
            progress=show_progress,
        )
    )


def section_of(mixes: Mixes) -> Section:
    """What was found, as a section; pure, but for the plot's file."""
    rows = []
    figures: dict[str, float] = {}
    titles = {workload.name: workload.title for workload in WORKLOADS}
    for line, found in mixes.found.items():
        workload, callers, peer = line
        key = f"ycsb/{workload}/{callers}/{peer}"
        rate, ratio = statistics.median(found.rates), mixes.ratio(line)
        figures |= {f"{key}/ops_per_second": rate, f"{key}/ratio_to_sqlite3": ratio}
        for kind, durations in (("read", found.reads), ("write", found.writes)):
            if durations:
                for name, value in zip(NAMES, durations.quantiles(SHARES), strict=True):
                    figures[f"{key}/{kind}_{name}"] = value
        rows.append(
            (
                titles[workload],
                f"{callers}",
                mixes.labels[peer],
                f"{rate:,.0f}",
                f"{ratio:.2f}",
                *_microseconds(found.reads),
                *_microseconds(found.writes),
            )
        )
    plots: list[Callable[[Path], str]] = [partial(plot, mixes)]
    return Section("Mixes of reads and writes (YCSB)", _text(mixes), HEADER, rows, figures, plots)


def _microseconds(durations: Durations) -> list[str]:
    if not durations:
        return ["", ""]
    return [f"{value * 1e6:,.0f}" for value in durations.quantiles(SHARES)]


def _text(mixes: Mixes) -> str:
    promises = "\n".join(f"- {label}: {text}." for label, text in mixes.promises.items())
    return f"""\
The core workloads A, B, C, D and F of YCSB over {mixes.records:,} records of ten fields of ten digits each
(YCSB's have a hundred bytes a field; smaller ones keep loading under a minute and a half), with Zipf's law
and the constant 0.99, popular records scattered over all keys; D reads what was inserted last. A read returns
all ten fields, an update writes one of them, a read-modify-write increases one with no other write in
between. The operations are made before the clock starts and are the same for all.
{" or ".join(map(str, CALLERS))} callers, each a thread of this process that does its next operation when the
last one has returned, for {mixes.seconds:g} s a line and round, {mixes.rounds} rounds; ratios are to sqlite3
in the same round. Latencies are those of callers that wait for each other; the section on latency has those
under a given load.

What each promises:

{promises}

onewriter has {REPLICAS} replicas, which apply every write meanwhile; `query` goes through a query actor,
`view` opens a view for each read in the caller's own thread.{_missed(mixes)}"""


def _missed(mixes: Mixes) -> str:
    """How often the latest record was not there yet: the price of reads that are behind."""
    inserting = {workload.name for workload in WORKLOADS if workload.write is Kind.INSERT}
    behind = [
        found for (workload, _, _), found in mixes.found.items() if workload in inserting and found.missed
    ]
    if not behind:
        return ""
    missed, reads = sum(found.missed for found in behind), sum(len(found.reads) for found in behind)
    return (
        f" In D {missed:,} of {reads:,} reads came before the record that they asked for had been applied, "
        "and found nothing: `after=receipt` would have waited for it."
    )


def plot(mixes: Mixes, folder: Path) -> str:
    """Draw the ratios to sqlite3 into `folder`/mixes.svg, a panel for each number of callers."""
    names = [workload.name for workload in WORKLOADS]
    places = range(len(names))
    apart = 0.7 / len(mixes.labels)
    with drawn(folder / "mixes.svg", 11, 4.5, len(CALLERS)) as panels:
        for axes in panels[1:]:
            axes.sharey(panels[0])
        for axes, callers in zip(panels, CALLERS, strict=True):
            for number, (peer, label) in enumerate(mixes.labels.items()):
                ratios = [mixes.ratio((name, callers, peer)) for name in names]
                shift = (number - (len(mixes.labels) - 1) / 2) * apart
                axes.plot([place + shift for place in places], ratios, "o", label=label)
            axes.set_yscale("log")
            axes.set_xticks(places, [name.upper() for name in names])
            axes.set_title(f"{callers} caller{'s' if callers > 1 else ''}")
            axes.grid(visible=True, axis="y", which="both", alpha=0.3)
        panels[0].set_ylabel("operations a second, sqlite3 = 1")
        panels[0].legend(fontsize="x-small")
    return "mixes.svg"
