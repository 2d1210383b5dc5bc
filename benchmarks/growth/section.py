"""Growth as a part of the report: the table, what is said of it, the figures and the plots."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.growth.measure import BATCH, Growth, Rounds, Size, measure
from benchmarks.plots import drawn
from benchmarks.progress import show_progress
from benchmarks.ratios import range_of, ratio_of
from benchmarks.section import Section
from benchmarks.workload import PRODUCTS

LARGEST = 1_000_000
MEMORY_BASE = 100_000
MEBIBYTE = 1 << 20

OPENING_RATIO, MEMORY_RATIO, WORKING_RATIO = (
    "growth/opening_ratio",
    "growth/memory_ratio",
    "growth/working_memory_ratio",
)
"""Keys of the figures that an aim is about: of the largest store to a small one."""

HEADER = (
    "events",
    "opening ms",
    "to the first answer ms",
    "the same after a kill ms",
    "memory opened MiB",
    "memory after work MiB",
    "log MiB",
    "log bytes an event",
    "replica MiB",
    "replica bytes a row",
)


def section(folder: Path, *, quick: bool, largest: int | None = None, rounds: int | None = None) -> Section:
    """Measure in `folder`, which is empty: a minute with a million events, eight with ten million."""
    return section_of(
        measure(
            folder,
            sizes_up_to(largest or (10_000 if quick else LARGEST), 1_000 if quick else 10_000),
            rounds=rounds or (3 if quick else 9),
            commands=1_000 if quick else 10_000,
            updates=4_000 if quick else 200_000,
            progress=show_progress,
        )
    )


def sizes_up_to(largest: int, smallest: int) -> list[int]:
    """Powers of ten from the smallest on, and the largest."""
    sizes = []
    size = smallest
    while size < largest:
        sizes.append(size)
        size *= 10
    return [*sizes, largest]


def section_of(growth: Growth) -> Section:
    """What was found, as a section; pure, but for the plots' files."""
    rows = []
    figures: dict[str, float] = {}
    for events, size in growth.sizes.items():
        files = size.files
        key = f"growth/{events}"
        for name, rounds in _named(size).items():
            if rounds:
                figures |= range_of(rounds.values()).figures(f"{key}/{name}")
        figures |= {
            f"{key}/log_bytes_per_event": files.log / files.events,
            f"{key}/replica_bytes_per_row": files.replica / files.rows,
        }
        rows.append(
            (
                f"{events:,}",
                f"{_median(size.opening) * 1e3:.1f}",
                f"{_median(size.answered) * 1e3:.1f}",
                f"{_median(size.reopened) * 1e3:.1f}",
                *(f"{_median(one) / MEBIBYTE:.1f}" if one else "-" for one in (size.opened, size.worked)),
                f"{files.log / MEBIBYTE:,.1f}",
                f"{files.log / files.events:.0f}",
                f"{files.replica / MEBIBYTE:,.1f}",
                f"{files.replica / files.rows:.0f}",
            )
        )
    smallest, largest = min(growth.sizes), max(growth.sizes)
    base = MEMORY_BASE if MEMORY_BASE in growth.sizes else smallest
    for key, name, small in (
        (OPENING_RATIO, "opening_seconds", smallest),
        (MEMORY_RATIO, "opened_bytes", base),
        (WORKING_RATIO, "worked_bytes", base),
    ):
        ratio = ratio_of(_named(growth.sizes[largest])[name], _named(growth.sizes[small])[name])
        figures |= {} if ratio is None else ratio.figures(key)
    if len(growth.steady) > 1:
        figures["growth/steady/replica_ratio"] = growth.steady[-1].replica / growth.steady[0].replica
    plots: list[Callable[[Path], str]] = [partial(plot_opening, growth), partial(plot_files, growth)]
    return Section("Growth", _text(growth, base, figures), HEADER, rows, figures, plots)


def _named(size: Size) -> dict[str, Rounds]:
    return {
        "opening_seconds": size.opening,
        "answered_seconds": size.answered,
        "reopened_seconds": size.reopened,
        "opened_bytes": size.opened,
        "worked_bytes": size.worked,
    }


def _median(rounds: Rounds) -> float:
    return statistics.median(rounds.values())


def _text(growth: Growth, base: int, figures: dict[str, float]) -> str:
    smallest, largest = min(growth.sizes), max(growth.sizes)
    count = len(growth.sizes[largest].opening)
    ratios = [
        f"{text} {figures[key]:.2f} times that with {small:,}"
        for text, key, small in (
            ("opening takes", OPENING_RATIO, smallest),
            ("the memory of the open store is", MEMORY_RATIO, base),
            ("the memory after work is", WORKING_RATIO, base),
        )
        if key in figures
    ]
    first, last = growth.steady[0], growth.steady[-1]
    return f"""\
Stores of products with five events each, one replica, closed cleanly. Each is opened {count} times, in turn
with the others and each time in a new process, with the files in the system's cache; a query follows. Memory
is what Linux counts as anonymous (`RssAnon`): what the process holds itself, without mapped files, which the
system takes back when it needs room. Work is {growth.commands:,} commands on products all over the log, and
as many queries, after which the process is killed and the store opened once more. Medians, the ratios within
a round: with {largest:,} events {"; ".join(ratios)}.

{PRODUCTS:,} rows that are repriced again and again, {BATCH} commands at a time, {last.events:,} events in
all: the replica's files have {first.replica / MEBIBYTE:.2f} MiB after {first.events:,} events and
{last.replica / MEBIBYTE:.2f} MiB at the end, the log grows from {first.log / MEBIBYTE:.1f} to
{last.log / MEBIBYTE:.1f} MiB, since it keeps every event."""


def plot_opening(growth: Growth, folder: Path) -> str:
    """Draw opening time and memory over events; returns the file's name."""
    events = list(growth.sizes)
    with drawn(folder / "growth-opening.svg", 11, 4, 2) as (left, right):
        for name, text in (
            ("opening_seconds", "open"),
            ("answered_seconds", "first query answered"),
            ("reopened_seconds", "the same after a kill"),
        ):
            values = [_median(_named(size)[name]) * 1e3 for size in growth.sizes.values()]
            left.plot(events, values, marker="o", label=text)
        for name, text in (("opened_bytes", "opened"), ("worked_bytes", "after work")):
            measured = {count: _named(size)[name] for count, size in growth.sizes.items()}
            if all(measured.values()):
                values = [_median(rounds) / MEBIBYTE for rounds in measured.values()]
                right.plot(events, values, marker="o", label=text)
        for axes, text in ((left, "milliseconds"), (right, "anonymous memory, MiB")):
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.set_xlabel("events in the log")
            axes.set_ylabel(text)
            axes.grid(visible=True, alpha=0.3)
            axes.legend(fontsize="small")
    return "growth-opening.svg"


def plot_files(growth: Growth, folder: Path) -> str:
    """Draw files over events, of growing stores and of one whose rows change; the file's name."""
    files = [size.files for size in growth.sizes.values()]
    with drawn(folder / "growth-files.svg", 11, 4, 2) as (left, right):
        for axes, sizes in ((left, files), (right, growth.steady)):
            events = [one.events for one in sizes]
            axes.plot(events, [one.log / MEBIBYTE for one in sizes], marker="o", label="log")
            axes.plot(events, [one.replica / MEBIBYTE for one in sizes], marker="o", label="a replica")
            axes.set_yscale("log")
            axes.set_xlabel("events in the log")
            axes.grid(visible=True, which="both", alpha=0.3)
            axes.legend(fontsize="small")
        left.set_xscale("log")
        left.set_ylabel("MiB on disk")
        left.set_title("products with five events each")
        right.set_title(f"{PRODUCTS:,} products repriced again and again")
    return "growth-files.svg"
