"""The engines of read models beside one another as a part of the report."""

from __future__ import annotations

from pathlib import Path

from benchmarks.engines.domain import EACH, QUESTIONS
from benchmarks.engines.measure import BATCHES, Figures, measure
from benchmarks.section import Section

TEXT = """
{events:,} events, {each} of each product, into a model of each engine, in transactions as large as
in a replay and as small as when a replica follows a busy writer; then the same questions to each, one caller.
"""


HEADER = (
    "engine",
    *(f"events/s, {batch:,} a transaction" for batch in BATCHES),
    *(f"{question}, p50 / p99" for question in QUESTIONS),
)


def section(folder: Path, *, quick: bool, events: int | None = None, rounds: int | None = None) -> Section:
    """Measured in `folder`, which is empty."""
    events = events or (2_000 if quick else 50_000)
    found = measure(folder, events, rounds or (1 if quick else 3), 100 if quick else 2_000)
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
        header=HEADER,
        rows=figures_rows(found),
        figures=figures,
    )


def figures_rows(figures: Figures) -> list[tuple[str, ...]]:
    """A line for each engine."""
    return [
        (
            engine,
            *(f"{of_engine[f'applied by {batch:,}']:,.0f}" for batch in BATCHES),
            *(f"{duration(of_engine[one]['p50'])} / {duration(of_engine[one]['p99'])}" for one in QUESTIONS),
        )
        for engine, of_engine in figures.items()
    ]


def duration(seconds: float) -> str:
    """In the unit that fits: microseconds or milliseconds."""
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
