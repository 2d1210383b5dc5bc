"""Latencies as a part of the report: the table, what is said of it, the figures and the plots."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.durations import Durations
from benchmarks.latency.measure import COMMANDS, LOADS, QUERIES, WAKINGS, Found, Latencies, measure
from benchmarks.latency.subjects import COMMAND_CLIENTS, QUERY_CLIENTS, REPLICAS
from benchmarks.plots import drawn
from benchmarks.progress import show_progress
from benchmarks.section import Section

HEADER = ("", "load", "a second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")
SHARES = (0.5, 0.9, 0.99, 0.999, 1)
NAMES = ("p50", "p90", "p99", "p999", "max")
PERCENTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999)
LATE = 0.05
"""How late the last reply may be when a system keeps up, in seconds and in parts of the whole."""


def section(
    folder: Path,
    *,
    quick: bool,
    seconds: float | None = None,
    rounds: int | None = None,
    arrivals: str = "poisson",
) -> Section:
    """Measure in `folder`, which is empty; about 2 minutes, or 8 seconds if `quick`."""
    return section_of(
        measure(
            folder,
            seconds=seconds or (0.1 if quick else 1.5),
            rounds=rounds or (1 if quick else 2),
            arrivals=arrivals,
            progress=show_progress,
        )
    )


def section_of(latencies: Latencies) -> Section:
    """What was found, as a section; pure, but for the plots' files."""
    rows = []
    figures: dict[str, float] = {}
    for kind, subjects in latencies.found.items():
        for key, found in subjects.items():
            figures[f"latency/{kind}/{key}/highest"] = statistics.median(found.highest)
            for load, steady in found.loads.items():
                durations = steady.measured.latency
                rate = statistics.median(steady.rates)
                figures |= _figures(f"latency/{kind}/{key}/{load}", rate, durations)
                late = steady.longest - latencies.seconds > LATE * max(latencies.seconds, 1.0)
                shown = f"{rate:,.0f}" + (" (not kept up)" if late else "")
                rows.append((f"{kind}: {found.label}", f"{load} %", shown, *_milliseconds(durations)))
    for rate, nothing in latencies.nothing.items():
        durations = nothing.measured.latency
        figures |= _figures(f"latency/nothing/{rate:.0f}", rate, durations)
        rows.append(("nothing (the measurement itself)", "", f"{rate:,.0f}", *_milliseconds(durations)))
    plots: list[Callable[[Path], str]] = [
        partial(plot, kind, subjects) for kind, subjects in latencies.found.items()
    ]
    title = "Latencies under a given load"
    return Section(title, _text(latencies), HEADER, rows, figures, plots)


def _figures(key: str, rate: float, durations: Durations) -> dict[str, float]:
    quantiles = zip(NAMES, durations.quantiles(SHARES), strict=True)
    return {
        f"{key}/rate": rate,
        **{f"{key}/{name}": value for name, value in quantiles},
    }


def _milliseconds(durations: Durations) -> list[str]:
    return [f"{value * 1e3:.2f}" for value in durations.quantiles(SHARES)]


def _text(latencies: Latencies) -> str:
    kind = "at random moments (Poisson)" if latencies.arrivals == "poisson" else "at equal distances"
    sentences = [
        text
        for kind_, key in (
            (COMMANDS, "onewriter-thread"),
            (COMMANDS, "sqlite"),
            (QUERIES, "onewriter-thread"),
        )
        if (found := latencies.found[kind_].get(key)) and (text := _omitted(kind_, found))
    ]
    missing = "".join(f" {label}: {reason}." for label, reason in latencies.missing.items())
    return f"""\
Operations come {kind}, fixed beforehand with a seed, whatever became of those before, and latency counts from
the moment at which an operation was due: a system that stalls is charged for all that should have come
meanwhile (no coordinated omission). Each subject has {", ".join(f"{load} %" for load in LOADS)} of the
highest rate that it reached by itself just before, for {latencies.seconds:g} s, {latencies.rounds} rounds, so
the rates differ: compare what a line has at its rate. Commands come from {COMMAND_CLIENTS} clients, threads
of this process with a schedule each, but for `submit`, where one thread hands over all of them; queries from
{QUERY_CLIENTS}. onewriter has {REPLICAS} replicas that apply meanwhile. Promises are those of the tables of
commands and of queries. The last lines are calls that do nothing, from {COMMAND_CLIENTS} clients: what the
threads' own waking adds to every figure. No more than {WAKINGS:,.0f} operations a second are asked for, since
the clients take their share of the interpreter, too.{missing}

{" ".join(sentences)}"""


def _omitted(kind: str, found: Found) -> str:
    """What a closed load would have claimed."""
    load = LOADS[-1]
    steady = found.loads[load].measured
    shares = (0.5, 0.99)
    due, called, closed = (
        [f"{value * 1e3:.2f}" for value in one.quantiles(shares)]
        for one in (steady.latency, steady.called, found.closed.called)
    )
    return (
        f"{found.label} ({kind}) has a p99 of {due[1]} ms at {load} %; counted from when a client got round "
        f"to calling, as a closed loop does, the same run shows {called[1]} ms, and {found.clients} clients "
        f"that call without a pause, at the highest rate, p50 {closed[0]} and p99 {closed[1]} ms."
    )


def plot(kind: str, subjects: dict[str, Found], folder: Path) -> str:
    """Draw latency by percentile into `folder`, a panel for each load; returns the file's name."""
    name = f"latency-{kind}.svg"
    with drawn(folder / name, 13, 4.5, len(LOADS)) as panels:
        for axes in panels[1:]:
            axes.sharey(panels[0])
        for axes, load in zip(panels, LOADS, strict=True):
            for found in subjects.values():
                durations = found.loads[load].measured.latency
                shown = [share for share in PERCENTILES if (1 - share) * len(durations) >= 1]
                values = [value * 1e3 for value in durations.quantiles(shown)]
                # As is usual for such plots, each nine has the same room.
                axes.plot([1 / (1 - share) for share in shown], values, label=found.label)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks([2, 10, 100, 1_000, 10_000], ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"])
            axes.set_title(f"{load} % of the highest rate")
            axes.grid(visible=True, which="major", alpha=0.3)
        panels[0].set_ylabel(f"{kind}: milliseconds from when they were due")
        panels[0].legend(fontsize="small")
    return name
