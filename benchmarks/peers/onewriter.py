"""onewriter itself, as a program uses it: `System` with three replicas in threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors import System
from benchmarks.domain import Command, PricedFrom, ProductBySku, catalog, products, shop
from benchmarks.peers.base import CommandPeer, QueryPeer, in_batches, time_callers
from benchmarks.workload import BATCH, PRODUCTS, RANGE_LENGTH, Lookups, listing

REPLICAS = 3
SETTLE_TIMEOUT = 120.0


class _Commands(CommandPeer):
    promises = "an fsync a group of commands, before any reply; command ids, streams, metadata; the replicas apply meanwhile"
    system: System | None = None

    def __init__(self, replicas: int = REPLICAS) -> None:
        self.replicas = replicas

    def setup(self, folder: Path) -> None:
        self.system = System.open(folder / "shop", shop, replicas=self.replicas)

    def opened(self) -> System:
        assert self.system is not None
        return self.system

    def settle(self) -> float:
        return wait_applied(self.opened())

    def written(self) -> int:
        return self.opened().health().position

    def close(self) -> None:
        if self.system is not None:
            self.system.close()


class OneWriterCallers(_Commands):
    """Each caller waits for its receipt before it sends the next command."""

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        return time_callers(shares, [self.opened().execute] * len(shares))


class OneWriterSubmit(_Commands):
    """One caller that sends everything, then waits for all receipts."""

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        submit = self.opened().submit
        started = time.perf_counter()
        futures = [submit(command) for share in shares for command in share]
        for future in futures:
            future.result(timeout=SETTLE_TIMEOUT)
        return time.perf_counter() - started


class OneWriterMany(_Commands):
    """One caller that sends a batch and waits for its receipts."""

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        execute_many = self.opened().execute_many
        started = time.perf_counter()
        for share in shares:
            for batch in in_batches(share, BATCH):
                execute_many(batch)
        return time.perf_counter() - started


class _Queries(QueryPeer):
    system: System | None = None

    def setup(self, folder: Path) -> None:
        self.system = System.open(folder / "shop", shop, replicas=REPLICAS)
        self.system.execute_many([listing(number) for number in range(PRODUCTS)])
        wait_applied(self.system)

    def opened(self) -> System:
        assert self.system is not None
        return self.system

    def close(self) -> None:
        if self.system is not None:
            self.system.close()


class OneWriterQuery(_Queries):
    """One query at a time, answered by a query actor."""

    promises = "a query actor's thread answers, eventual consistency, each query its own snapshot"

    def __init__(self, ranges: bool = False) -> None:
        self.ranges = ranges

    def _queries(self, lookups: Lookups) -> list[Any]:
        if self.ranges:
            return [PricedFrom(price, RANGE_LENGTH) for price in lookups.prices]
        return [ProductBySku(sku) for sku in lookups.skus]

    def queries(self, lookups: Lookups) -> float:
        query = self.opened().query
        asked = self._queries(lookups)
        started = time.perf_counter()
        for each in asked:
            query(each)
        return time.perf_counter() - started

    def answer(self, lookups: Lookups) -> list[object]:
        return [self.opened().query(each) for each in self._queries(lookups)]


class OneWriterQueryMany(_Queries):
    """Queries by key in batches."""

    promises = "as above, each batch its own snapshot"

    def queries(self, lookups: Lookups) -> float:
        query_many = self.opened().query_many
        batches = list(in_batches([ProductBySku(sku) for sku in lookups.skus], BATCH))
        started = time.perf_counter()
        for batch in batches:
            query_many(batch)
        return time.perf_counter() - started

    def answer(self, lookups: Lookups) -> list[object]:
        return list(self.opened().query_many([ProductBySku(sku) for sku in lookups.skus]))


class OneWriterView(_Queries):
    """Reads of one snapshot in the caller's own thread."""

    promises = "the caller's thread reads, one snapshot for all look-ups"

    def __init__(self, ranges: bool = False) -> None:
        self.ranges = ranges

    def queries(self, lookups: Lookups) -> float:
        with self.opened().view(catalog) as view:
            table = view[products]
            started = time.perf_counter()
            if self.ranges:
                for price in lookups.prices:
                    list(table.range("price", price, limit=RANGE_LENGTH))
            else:
                for sku in lookups.skus:
                    table.get(sku)
            return time.perf_counter() - started

    def answer(self, lookups: Lookups) -> list[object]:
        with self.opened().view(catalog) as view:
            table = view[products]
            if self.ranges:
                return [list(table.range("price", price, limit=RANGE_LENGTH)) for price in lookups.prices]
            return [table.get(sku) for sku in lookups.skus]


def wait_applied(system: System) -> float:
    """Seconds until every replica has applied what is committed now."""
    started = time.perf_counter()
    position = system.health().position
    while any(model.applied < position for replica in system.health().replicas for model in replica.models):
        if time.perf_counter() - started > SETTLE_TIMEOUT:
            raise TimeoutError(f"the replicas have not applied position {position} in {SETTLE_TIMEOUT:.0f} s")
        time.sleep(0.001)
    return time.perf_counter() - started
