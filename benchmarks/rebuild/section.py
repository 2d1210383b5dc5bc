"""Queries during a rebuild as a part of the report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.onewriter import REPLICAS
from benchmarks.quantiles import spread_of
from benchmarks.rebuild.__main__ import HEADER, PHASES, latency_rows, rebuilt
from benchmarks.rebuild.load import CLIENTS, COMMANDS_PER_SECOND
from benchmarks.section import Section

RATE = 400.0

TEXT = """
{events:,} events, {replicas} replicas; {clients} clients ask {rate:g} queries a second at moments fixed beforehand, and
{commands:g} commands a second come in, while the model is filled anew beside what serves. Each answer is compared with
the right one. The rebuild took {took:.1f} s, {speed:,.0f} events a second over the replicas, one after another.
Failed: {failed}. Wrong: {wrong}.
"""


def section(folder: Path, *, quick: bool) -> Section:
    """Measured in `folder`; raises RuntimeError if a query failed or was wrong, or if a replica is not done."""
    events, seconds = (2_000, 0.5) if quick else (100_000, 5.0)
    took, load, left = rebuilt(folder, events, REPLICAS, RATE, seconds)
    if load.failed or load.wrong or left:
        raise RuntimeError(f"failed: {load.failed[:5]}, wrong: {load.wrong[:5]}, not done: {left}")
    spreads = {phase: spread_of((one, 1) for one in load.durations[phase]) for phase in PHASES}
    figures = {"rebuild/seconds": took}
    for phase, spread in spreads.items():
        for quantile, value in asdict(spread).items():
            figures[f"rebuild/{phase.replace(' ', '_')}/{quantile}_seconds"] = value
    return Section(
        title="Queries during a rebuild",
        text=TEXT.format(
            events=events,
            replicas=REPLICAS,
            clients=CLIENTS,
            rate=RATE,
            commands=COMMANDS_PER_SECOND,
            took=took,
            speed=events * REPLICAS / took,
            failed=len(load.failed),
            wrong=len(load.wrong),
        ).strip(),
        header=tuple(HEADER),
        rows=[tuple(row) for row in latency_rows(spreads, load.durations)],
        figures=figures,
    )
