"""The engines of read models beside one another as a part of the report."""

from __future__ import annotations

from pathlib import Path

from benchmarks.engines.__main__ import BATCHES, HEADER, figures_rows, measure
from benchmarks.engines.domain import EACH, QUESTIONS
from benchmarks.section import Section

TEXT = """
{events:,} events, {each} of each product, into a model of each engine, in transactions as large as in a replay and as
small as when a replica follows a busy writer; then the same questions to each, one caller.
"""


def section(folder: Path, *, quick: bool) -> Section:
    """Measured in `folder`."""
    events, rounds, times = (2_000, 1, 100) if quick else (50_000, 3, 2_000)
    found = measure(folder, events, rounds, times)
    figures: dict[str, float] = {}
    for engine, of_engine in found.items():
        for batch in BATCHES:
            figures[f"engines/{engine}/applied_by_{batch}_per_second"] = of_engine[f"applied by {batch:,}"]
        for question in QUESTIONS:
            for quantile, seconds in of_engine[question].items():
                figures[f"engines/{engine}/{question.replace(' ', '_')}/{quantile}_seconds"] = seconds
    return Section(
        title="Engines of read models",
        text=TEXT.format(events=events, each=EACH).strip(),
        header=tuple(HEADER),
        rows=[tuple(row) for row in figures_rows(found)],
        figures=figures,
    )
