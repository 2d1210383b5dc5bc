"""`make bench-filtered`: reading a log through a filter that few events match, beside all of it.

One event in 100,000 is of the wanted type and category. All read through `System.subscribe`, in turn. The
time is that of the reading thread on a processor.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors import Domain, System
from benchmarks.machine import machine
from benchmarks.progress import show_progress

domain = Domain("filtered")


@domain.event(state=None)
class PriceChanged:
    sku: str
    price: int


@domain.event(state=None)
class RareEvent:
    number: int


BATCH = 1_000
ONE_IN = 100_000
WAYS: dict[str, dict[str, Any]] = {
    "everything": {},
    "one type": {"types": RareEvent},
    "one category": {"category": "rare"},
    "both": {"types": RareEvent, "category": "rare"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.filtered", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", default=None, help="where the store is made")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as path,
        System.open(Path(path) / "store", domain, replicas=1) as system,
    ):
        fill(system, options.events)
        rates = measure(system, options.rounds)
    print(machine())
    print(
        f"\n| {options.events:,} events, read through | events/s of CPU | beside everything |\n"
        "| --- | ---: | ---: |"
    )
    for name, found in rates.items():
        ratios = [whole / one for one, whole in zip(found, rates["everything"], strict=True)]
        print(
            f"| {name} | {statistics.median(found):,.0f} | {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}) |"
        )
    return 0


def fill(system: System, events: int) -> None:
    """Events of one type in common streams, and one in `ONE_IN` of another type and category."""
    written = 0
    while written < events:
        show_progress(f"writing {written:,} of {events:,} events")
        count = min(BATCH, events - written)
        prices = [PriceChanged(f"sku-{number:05}", number) for number in range(written, written + count)]
        if written % ONE_IN == 0:
            system.append("rare-1", [RareEvent(written)])
        system.append(f"product-sku-{written // BATCH % 1_000:05}", prices)
        written += count
    show_progress("")
    system.wait_applied(timeout=600)


def measure(system: System, rounds: int) -> dict[str, list[float]]:
    """Events a second that each way looks through, by round; in turn within a round."""
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    head, rare = system.position, len(system.stream("rare-1"))
    for number in range(rounds):
        for name, filters in WAYS.items():
            show_progress(f"round {number + 1} of {rounds}: {name}")
            started = time.thread_time()
            found = sum(1 for _ in system.subscribe(until=head, **filters))
            rates[name].append(head / (time.thread_time() - started))
            assert found == (rare if filters else head)
    show_progress("")
    return rates


if __name__ == "__main__":
    sys.exit(main())
