"""Queries during a rebuild as a part of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.durations import Durations, Spread
from benchmarks.peers.onewriter import REPLICAS
from benchmarks.rebuild.load import CLIENTS, COMMANDS_PER_SECOND
from benchmarks.rebuild.measure import PHASES, rebuilt
from benchmarks.replay.workload import EACH
from benchmarks.section import Section

RATE = 400.0

TEXT = """
{events:,} events, {replicas} replicas; {clients} clients ask {rate:g} queries a second at moments
fixed beforehand, and {commands:g} commands a second come in, while the model is filled again beside the one
that serves. Each answer is compared with the right one. The rebuild took {took:.1f} s, {speed:,.0f} events a
second over the replicas, one after another. Failed: {failed}. Wrong: {wrong}.
"""


HEADER = ("queries", "number", "p50 ms", "p99 ms", "max ms")


def section(
    folder: Path,
    *,
    quick: bool,
    events: int | None = None,
    seconds: float | None = None,
    rate: float = RATE,
    replicas: int = REPLICAS,
) -> Section:
    """Measured in `folder`; raises RuntimeError if a query failed or was wrong, or a replica is behind."""
    # A multiple, so that each product has its last price.
    events = -(-(events or (2_000 if quick else 100_000)) // EACH) * EACH
    took, load, left = rebuilt(folder, events, replicas, rate, seconds or (0.5 if quick else 5.0))
    if load.failed or load.wrong or left:
        raise RuntimeError(f"failed: {load.failed[:5]}, wrong: {load.wrong[:5]}, not done: {left}")
    spreads = {phase: Durations(load.durations[phase]).spread for phase in PHASES}
    figures = {"rebuild/seconds": took}
    for phase, spread in spreads.items():
        for quantile, value in asdict(spread).items():
            figures[f"rebuild/{phase.replace(' ', '_')}/{quantile}_seconds"] = value
    return Section(
        title="Queries during a rebuild",
        text=TEXT.format(
            events=events,
            replicas=replicas,
            clients=CLIENTS,
            rate=rate,
            commands=COMMANDS_PER_SECOND,
            took=took,
            speed=events * replicas / took,
            failed=len(load.failed),
            wrong=len(load.wrong),
        ).strip(),
        header=HEADER,
        rows=latency_rows(spreads, load.durations),
        figures=figures,
    )


def latency_rows(
    spreads: Mapping[str, Spread], durations: Mapping[str, Sequence[float]]
) -> list[tuple[str, ...]]:
    """A line for each phase."""
    return [
        (
            phase,
            f"{len(durations[phase]):,}",
            *(f"{value * 1e3:.2f}" for value in (spread.p50, spread.p99, spread.max)),
        )
        for phase, spread in spreads.items()
    ]
