"""The replay of a log as a part of the report."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.plots import bars
from benchmarks.ratios import Range, range_of
from benchmarks.replay.__main__ import HEADER, measure_all, rates_rows
from benchmarks.replay.workload import EACH
from benchmarks.section import Section

TEXT = """
{events:,} events, {each} of each product, go into a table with an index on the price. Every peer reads its own log on
its own disk, and what its table holds at the end is checked. eventsourcing's runner has a transaction for each event, as
installed, and replays a part of the events. LMDB's bulk load replays nothing: it appends the rows that are to be there
in the end, encoded and sorted beforehand, and so is the limit for whoever fills tables in LMDB. Where each event is a
new row, every product has one event, and their keys come in no order.
"""


def section(folder: Path, *, quick: bool) -> Section:
    """Measured in `folder`."""
    events, rounds = (5_000, 1) if quick else (100_000, 3)
    rates, keeps = measure_all(folder, events, rounds)
    ranges = {label: range_of(of_label) for label, of_label in rates.items()}
    figures: dict[str, float] = {}
    for label, one in ranges.items():
        figures |= one.figures(f"replay/{label}/events_per_second")
    kept = "\n".join(f"- {label}: {text}." for label, text in keeps.items())
    return Section(
        title="Replay",
        text=f"{TEXT.format(events=events, each=EACH).strip()}\n\n{kept}",
        header=tuple(HEADER),
        rows=[tuple(row) for row in rates_rows(rates)],
        figures=figures,
        plots=[partial(_plot, ranges)],
    )


def _plot(ranges: dict[str, Range], folder: Path) -> str:
    return bars(folder / "replay.svg", ranges, "events a second")
