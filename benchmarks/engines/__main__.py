"""`python -m benchmarks.engines`: applies one history to a model of each engine, then asks each the same questions."""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors import System
from actors.replication.projector import Projector
from benchmarks.engines.domain import EACH, MODELS, QUESTIONS, history, shelf, sku_of
from benchmarks.machine import disk, machine, markdown, write_results
from benchmarks.quantiles import Spread, spread_of
from storage import RecordedEvent, ReplicaStore

BATCHES = (2_000, 20)
"""Events of one transaction: as in a replay, and as when a replica follows a busy writer."""

Figures = dict[str, dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    events = options.events or (10_000 if options.quick else 100_000)
    rounds = options.rounds or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as name:
        folder = Path(name).resolve()
        print(f"{events:,} events, {EACH} of each product, rounds: {rounds}")
        print(machine())
        print(disk(folder), flush=True)
        figures = measure(folder, events, rounds, 200 if options.quick else 2_000)
    table = figures_table(figures)
    print("", table, "", sep="\n")
    settings = {"events": events, "each": EACH, "rounds": rounds}
    print(f"Written to {write_results(Path(options.out), 'engines', settings, figures, table)}")
    return 0


def measure(folder: Path, events: int, rounds: int, times: int) -> Figures:
    """Events a second into each engine, and how long each question takes when it is put `times` times."""
    figures: Figures = {engine: {} for engine in MODELS}
    with System.open(folder / "shelf", shelf, replicas=len(MODELS)) as system:
        for chunk in in_chunks(list(history(events)), 1_000):
            system.append("shelf", chunk, timeout=60)
        system.wait_applied(timeout=300)
        recorded = list(system.subscribe(until=system.position))
        ask_all(system, figures, times, events // EACH)
    rates: dict[str, list[float]] = {}
    for number in range(rounds):
        for engine in list(MODELS)[:: 1 if number % 2 == 0 else -1]:
            for batch in BATCHES:
                rate = apply_rate(folder / f"{engine}-{batch}-{number}", engine, recorded, batch)
                rates.setdefault(f"{engine}/{batch}", []).append(rate)
    for engine in MODELS:
        for batch in BATCHES:
            figures[engine][f"applied by {batch:,}"] = statistics.median(rates[f"{engine}/{batch}"])
    return figures


def in_chunks(events: list[Any], size: int) -> list[list[Any]]:
    return [events[start : start + size] for start in range(0, len(events), size)]


def ask_all(system: System, figures: Figures, times: int, products: int) -> None:
    """Put the questions to all engines in turn, one caller; raises if two of them answer differently."""
    for question, queries in QUESTIONS.items():
        answers = []
        for engine, query in queries.items():
            count = times if question != "sums over all rows" else max(times // 100, 5)
            seconds = []
            for number in range(count):
                asked = query(sku_of(number * 7919 % products)) if question == "one by its key" else query()
                started = time.perf_counter()
                answer = system.query(asked)
                seconds.append((time.perf_counter() - started, 1))
            answers.append(answer)
            spread: Spread = spread_of(seconds)
            figures[engine][question] = {"p50": spread.p50, "p99": spread.p99}
        if any(answer != answers[0] for answer in answers):
            raise RuntimeError(f"the engines do not agree on {question}")


def apply_rate(folder: Path, engine: str, events: Sequence[RecordedEvent], batch: int) -> float:
    """Events a second into an empty model of this engine, this many in each transaction."""
    compiled = shelf.compile()
    model = MODELS[engine]
    with ReplicaStore.open(
        folder, [model.schema], compiled.codec, history_id="0" * 32, log_head=len(events)
    ) as store:
        projector = Projector(store, [model])
        gc.collect()
        started = time.perf_counter()
        for start in range(0, len(events), batch):
            projector.apply(events[start : start + batch])
        seconds = time.perf_counter() - started
        if projector.runs[0].checkpoint != len(events):
            raise RuntimeError(f"{engine} stopped: {projector.runs[0].failure}")
    return len(events) / seconds


HEADER = [
    "engine",
    *(f"events/s, {batch:,} a transaction" for batch in BATCHES),
    *(f"{question}, p50 / p99" for question in QUESTIONS),
]


def figures_rows(figures: Figures) -> list[list[str]]:
    """A line for each engine."""
    return [
        [
            engine,
            *(f"{of_engine[f'applied by {batch:,}']:,.0f}" for batch in BATCHES),
            *(f"{duration(of_engine[one]['p50'])} / {duration(of_engine[one]['p99'])}" for one in QUESTIONS),
        ]
        for engine, of_engine in figures.items()
    ]


def figures_table(figures: Figures) -> str:
    """The same as Markdown."""
    return markdown(HEADER, figures_rows(figures))


def duration(seconds: float) -> str:
    """In the unit that fits: microseconds or milliseconds."""
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small round: does everything run?")
    parser.add_argument("--events", type=int, metavar="N", help="more on a fast machine")
    parser.add_argument("--rounds", type=int, metavar="N", help="more on a machine whose speed drifts")
    parser.add_argument("--dir", default=".", metavar="PATH", help="a folder on the disk to measure")
    parser.add_argument("--out", default="build", metavar="PATH", help="where the figures are written")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
