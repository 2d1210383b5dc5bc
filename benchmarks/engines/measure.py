"""Applies one history to a model of each engine, then asks each the same questions. The main thread."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors import System
from actors.replication.projector import Projector
from benchmarks.durations import Durations
from benchmarks.engines.domain import EACH, MODELS, QUESTIONS, history, shelf, sku_of
from benchmarks.peers.base import in_batches
from storage import RecordedEvent, ReplicaStore

BATCHES = (2_000, 20)
"""Events of one transaction: as in a replay, and as when a replica follows a busy writer."""

Figures = dict[str, dict[str, Any]]


def measure(folder: Path, events: int, rounds: int, times: int) -> Figures:
    """Events a second into each engine, and how long each question takes when it is put `times` times."""
    figures: Figures = {engine: {} for engine in MODELS}
    with System.open(folder / "shelf", shelf, replicas=len(MODELS)) as system:
        for chunk in in_batches(history(events), 1_000):
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
                seconds.append(time.perf_counter() - started)
            answers.append(answer)
            spread = Durations(seconds).spread
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
        for part in in_batches(events, batch):
            projector.apply(part)
        seconds = time.perf_counter() - started
        if projector.runs[0].checkpoint != len(events):
            raise RuntimeError(f"{engine} stopped: {projector.runs[0].failure}")
    return len(events) / seconds
