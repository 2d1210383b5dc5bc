"""`make bench-upcasting`: filling a read model from events of three versions, beside events of the newest.

In one store a third of the events is of each version: those of the first go through two upcasters, those of
the second through one. Another store has the same events, all of the newest version. A replica that has lost
its tables is filled from each, in turn; the time is that of the whole process on a processor, from opening
the system until the replica has caught up. Then the first store is read as by `onewriter schema check`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from actors import Domain, System
from actors.schema.trial import Trial
from benchmarks.machine import machine
from benchmarks.progress import show_progress
from storage.log.log_follower import LogFollower

BATCH = 1_000
PRODUCTS = 1_000
TIMEOUT = 3_600.0

first, second, newest = (Domain("prices") for _ in range(3))


@first.event(state=None, name="PriceSet")
class PriceInCents:
    sku: str
    price: int


@second.event(state=None, name="PriceSet")
class PriceWithCurrency:
    sku: str
    price: int
    currency: str


@newest.event(state=None)
class PriceSet:
    sku: str
    cents: int
    currency: str


def with_currency(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"currency": "EUR"}


def in_cents(fields: dict[str, Any]) -> dict[str, Any]:
    fields["cents"] = fields.pop("price")
    return fields


second.upcast("PriceSet")(with_currency)
newest.upcast("PriceSet")(with_currency)
newest.upcast("PriceSet", 2)(in_cents)

catalog = newest.read_model("catalog", version=1)
products = catalog.table("products", key="sku")


@catalog.on
def priced(event: PriceSet, tables: Any) -> None:
    tables[products].put({"sku": event.sku, "cents": event.cents, "currency": event.currency})


Make = Callable[[str, int], Any]
OLDER: tuple[tuple[Domain, Make], ...] = (
    (first, PriceInCents),
    (second, lambda sku, cents: PriceWithCurrency(sku, cents, "EUR")),
)
NEWEST: tuple[Domain, Make] = (newest, lambda sku, cents: PriceSet(sku, cents, "EUR"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.upcasting", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", default=None, help="where the stores are made")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as path:
        stores = {"of three versions": Path(path) / "three", "of the newest version": Path(path) / "one"}
        for store, ways in zip(stores.values(), ([*OLDER, NEWEST], [NEWEST]), strict=True):
            fill(store, ways, options.events)
        rates = replay_all(stores, options.events, options.rounds)
        checked = [check(Path(path) / "three", options.events) for _ in range(options.rounds)]
    show_progress("")
    print(machine())
    print(
        f"\n| {options.events:,} events | events/s of CPU | cost beside the newest |\n| --- | ---: | ---: |"
    )
    for name, found in rates.items():
        ratios = [one / own for own, one in zip(found, rates["of the newest version"], strict=True)]
        print(
            f"| replayed, {name} | {statistics.median(found):,.0f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    print(f"| `schema check`, of three versions | {statistics.median(checked):,.0f} | |")
    return 0


def fill(store: Path, ways: Sequence[tuple[Domain, Make]], events: int) -> None:
    """An equal part of the events by each domain, one after the other."""
    written = 0
    for number, (domain, make) in enumerate(ways, 1):
        until = events * number // len(ways)
        with System.open(store, domain, replicas=1) as system:
            while written < until:
                show_progress(f"writing {written:,} of {events:,} events")
                count = min(BATCH, until - written)
                batch = [make(f"sku-{at % PRODUCTS:05}", at) for at in range(written, written + count)]
                system.append(f"product-{written // BATCH % PRODUCTS}", batch)
                written += count


def replay_all(stores: dict[str, Path], events: int, rounds: int) -> dict[str, list[float]]:
    """Events a second by store and round; in turned order every other round."""
    rates: dict[str, list[float]] = {name: [] for name in stores}
    for number in range(rounds):
        for name in list(stores) if number % 2 == 0 else reversed(stores):
            show_progress(f"round {number + 1} of {rounds}: {name}")
            rates[name].append(replay(stores[name], events))
    return rates


def replay(store: Path, events: int) -> float:
    """Events a second of the processor into empty tables."""
    shutil.rmtree(store / "replicas")
    started = time.process_time()
    with System.open(store, newest, replicas=1) as system:
        system.wait_applied(timeout=TIMEOUT)
        seconds = time.process_time() - started
        with system.view(catalog) as view:
            found = {row["cents"] for row in view[products].all()}
        assert found == set(range(max(events - PRODUCTS, 0), events))
    return events / seconds


def check(store: Path, events: int) -> float:
    """Events a second of the processor that are tried as `onewriter schema check` tries them."""
    domain = newest.compile()
    with LogFollower.open(store, domain.codec) as log:
        log.advance(log.committed_head())
        trial = Trial(log, domain)
        started = time.process_time()
        trial.run(None, _show_checked)
        seconds = time.process_time() - started
    assert (trial.events, trial.failed, len(trial.types)) == (events, 0, 3)
    return events / seconds


def _show_checked(done: int, total: int) -> None:
    show_progress(f"checked {done:,} of {total:,} events")


if __name__ == "__main__":
    sys.exit(main())
