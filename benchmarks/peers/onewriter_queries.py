"""onewriter's queries, as a program asks them: `query`, `query_many`, `aquery_many` and `view`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors import System
from benchmarks.domain import PricedFrom, PriceSum, ProductBySku, catalog, products
from benchmarks.peers.base import QueryPeer, in_batches
from benchmarks.peers.onewriter import REPLICAS, Workers, opened, wait_applied
from benchmarks.workload import BATCH, PRODUCTS, RANGE_LENGTH, SUM_LENGTH, Lookups, Wanted, listing

IN_FLIGHT = 4
"""Batches that one caller has on their way at once, when it does not wait for each."""


class _Queries(QueryPeer):
    system: System | None = None

    def __init__(
        self,
        wanted: Wanted = "row",
        replicas: int = REPLICAS,
        workers: Workers = "thread",
        batch: int = BATCH,
    ) -> None:
        self.wanted = wanted
        self.replicas = replicas
        self.workers: Workers = workers
        self.batch = batch

    def setup(self, folder: Path) -> None:
        self.system = opened(folder / "shop", self.replicas, self.workers)
        self.system.execute_many([listing(number) for number in range(PRODUCTS)])
        wait_applied(self.system)

    def opened(self) -> System:
        assert self.system is not None
        return self.system

    def asked(self, lookups: Lookups) -> list[Any]:
        if self.wanted == "range":
            return [PricedFrom(price, RANGE_LENGTH) for price in lookups.prices]
        if self.wanted == "sum":
            return [PriceSum(price, price + SUM_LENGTH) for price in lookups.prices]
        return [ProductBySku(sku) for sku in lookups.skus]

    def answer(self, lookups: Lookups) -> list[object]:
        return [self.opened().query(each) for each in self.asked(lookups)]

    def close(self) -> None:
        if self.system is not None:
            self.system.close()


class OneWriterQuery(_Queries):
    """One query at a time, answered by a query actor."""

    promises = "a query actor's thread answers, eventual consistency, each query its own snapshot"

    def queries(self, lookups: Lookups) -> float:
        query = self.opened().query
        asked = self.asked(lookups)
        started = time.perf_counter()
        for each in asked:
            query(each)
        return time.perf_counter() - started


class OneWriterQueryMany(_Queries):
    """Queries in batches, one batch at a time."""

    promises = "a query actor's thread answers, each batch its own snapshot"

    def queries(self, lookups: Lookups) -> float:
        query_many = self.opened().query_many
        batches = list(in_batches(self.asked(lookups), self.batch))
        started = time.perf_counter()
        for batch in batches:
            query_many(batch)
        return time.perf_counter() - started

    def answer(self, lookups: Lookups) -> list[object]:
        return list(self.opened().query_many(self.asked(lookups)))


class OneWriterBatchesInFlight(_Queries):
    """One caller, an event loop, that keeps several batches on their way, so that each worker has one."""

    promises = (
        f"query actors of the replicas answer, each batch its own snapshot, {IN_FLIGHT} batches at once"
    )

    def queries(self, lookups: Lookups) -> float:
        batches = list(in_batches(self.asked(lookups), self.batch))

        async def all_of_them() -> float:
            started = time.perf_counter()
            await self._put(batches)
            return time.perf_counter() - started

        return asyncio.run(all_of_them())

    async def _put(self, batches: Sequence[Sequence[Any]]) -> list[object]:
        aquery_many = self.opened().aquery_many
        waiting = iter(enumerate(batches))
        answers: dict[int, list[Any]] = {}

        async def lane() -> None:
            for number, batch in waiting:
                answers[number] = await aquery_many(batch)

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(lane())
        return [answer for number in sorted(answers) for answer in answers[number]]

    def answer(self, lookups: Lookups) -> list[object]:
        return asyncio.run(self._put(list(in_batches(self.asked(lookups), self.batch))))


class OneWriterView(_Queries):
    """Reads of one snapshot in the caller's own thread."""

    promises = "the caller's thread reads, one snapshot for all look-ups"

    def queries(self, lookups: Lookups) -> float:
        with self.opened().view(catalog) as view:
            table = view[products]
            started = time.perf_counter()
            if self.wanted == "range":
                for price in lookups.prices:
                    list(table.range("price", price, limit=RANGE_LENGTH))
            else:
                for sku in lookups.skus:
                    table.get(sku)
            return time.perf_counter() - started

    def answer(self, lookups: Lookups) -> list[object]:
        with self.opened().view(catalog) as view:
            table = view[products]
            if self.wanted == "range":
                return [list(table.range("price", price, limit=RANGE_LENGTH)) for price in lookups.prices]
            return [table.get(sku) for sku in lookups.skus]
