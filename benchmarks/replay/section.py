"""The replay of a log as a part of the report."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.plots import bars
from benchmarks.ratios import Range, range_of
from benchmarks.replay.measure import NEW_ROWS, OURS, measure_all
from benchmarks.replay.workload import EACH
from benchmarks.section import Section

TEXT = """
{events:,} events, {each} of each product, go into a table with an index on the price. Every peer
reads its own log on its own disk, and what its table holds at the end is checked. eventsourcing's runner has
a transaction for each event, as installed, and replays a part of the events. LMDB's bulk load replays
nothing: it appends the rows that are to be there in the end, encoded and sorted beforehand, and so is the
limit for filling tables in LMDB. Where each event is a new row, every product has one event, and their keys
come in no order.
"""


HEADER = ("events a second", "median", "lowest", "highest", f"{OURS} / it")


def section(folder: Path, *, quick: bool, events: int | None = None, rounds: int | None = None) -> Section:
    """Measured in `folder`, which is empty."""
    events = events or (5_000 if quick else 100_000)
    rates, keeps = measure_all(folder, events, rounds or (1 if quick else 3))
    ranges = {label: range_of(of_label) for label, of_label in rates.items()}
    figures: dict[str, float] = {}
    for label, one in ranges.items():
        figures |= one.figures(f"replay/{label}/events_per_second")
    kept = "\n".join(f"- {label}: {text}." for label, text in keeps.items())
    return Section(
        title="Replay",
        text=f"{TEXT.format(events=events, each=EACH).strip()}\n\n{kept}",
        header=HEADER,
        rows=rates_rows(rates),
        figures=figures,
        plots=[partial(_plot, ranges)],
    )


def rates_rows(rates: Mapping[str, Sequence[float]]) -> list[tuple[str, ...]]:
    """Events a second of each, and the median over the rounds of the ratio of ours to it."""
    rows = []
    for label, found in rates.items():
        one = range_of(found)
        ours = rates[OURS + NEW_ROWS if label.endswith(NEW_ROWS) else OURS]
        ratio = statistics.median(mine / its for mine, its in zip(ours, found, strict=True))
        rows.append(
            (label, *(f"{rate:,.0f}" for rate in (one.median, one.lowest, one.highest)), f"{ratio:.2f}")
        )
    return rows


def _plot(ranges: dict[str, Range], folder: Path) -> str:
    return bars(folder / "replay.svg", ranges, "events a second")
