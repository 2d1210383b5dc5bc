"""LMDB and msgpack with nothing around them: what the disk, the tree and the codec cost by themselves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import msgpack

from benchmarks.domain import Command, ListProduct
from benchmarks.peers.base import CommandPeer, QueryPeer, in_batches
from benchmarks.workload import PRODUCTS, RANGE_LENGTH, Lookups, Wanted, listing

MAP_SIZE = 1 << 30


class LmdbCommands(CommandPeer):
    """Events by position and states by sku, in write transactions of `batch` commands; one caller."""

    promises = "an fsync a transaction; events and states, no ids, no streams, no copies"
    environment: lmdb.Environment | None = None

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch
        self.head = 0

    def setup(self, folder: Path) -> None:
        self.environment = lmdb.open(str(folder / "shop"), map_size=MAP_SIZE, max_dbs=2, lib_version=0)
        self.events = self.environment.open_db(b"events")
        self.states = self.environment.open_db(b"states")

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        assert self.environment is not None
        started = time.perf_counter()
        for share in shares:
            for batch in in_batches(share, self.batch):
                with self.environment.begin(write=True) as transaction:
                    for command in batch:
                        self._decide(transaction, command)
        return time.perf_counter() - started

    def _decide(self, transaction: lmdb.Transaction, command: Command) -> None:
        key = command.sku.encode()
        stored = transaction.get(key, db=self.states)
        event: list[Any]
        if isinstance(command, ListProduct):
            if stored is not None:
                raise ValueError(f"{command.sku} is listed already")
            state = [command.name, command.price, 1]
            event = ["ProductListed", 1, command.sku, command.name, command.price]
        else:
            if stored is None:
                raise ValueError(f"no product {command.sku}")
            name, price, version = msgpack.unpackb(stored)
            if price == command.price:
                return
            state = [name, command.price, version + 1]
            event = ["PriceChanged", version + 1, command.sku, command.price]
        self.head += 1
        transaction.put(self.head.to_bytes(8, "big"), msgpack.packb(event), db=self.events, append=True)
        transaction.put(key, msgpack.packb(state), db=self.states)

    def written(self) -> int:
        assert self.environment is not None
        with self.environment.begin(db=self.events) as transaction:
            count: int = transaction.stat()["entries"]
            return count

    def close(self) -> None:
        if self.environment is not None:
            self.environment.close()


class LmdbQueries(QueryPeer):
    """`get` plus msgpack decode, all in one read transaction; ranges go through an index by price."""

    promises = "one read transaction for all look-ups"
    environment: lmdb.Environment | None = None

    def __init__(self, wanted: Wanted = "row") -> None:
        self.ranges = wanted == "range"

    def setup(self, folder: Path) -> None:
        self.environment = lmdb.open(str(folder / "shop"), map_size=MAP_SIZE, max_dbs=2, lib_version=0)
        self.products = self.environment.open_db(b"products")
        self.by_price = self.environment.open_db(b"by_price")
        with self.environment.begin(write=True) as transaction:
            for number in range(PRODUCTS):
                product = listing(number)
                key = product.sku.encode()
                row = {"sku": product.sku, "name": product.name, "price": product.price}
                transaction.put(key, msgpack.packb(row), db=self.products)
                transaction.put(product.price.to_bytes(8, "big") + key, key, db=self.by_price)

    def queries(self, lookups: Lookups) -> float:
        assert self.environment is not None
        with self.environment.begin() as transaction:
            started = time.perf_counter()
            if self.ranges:
                for price in lookups.prices:
                    self._priced_from(transaction, price)
            else:
                get, unpack, products = transaction.get, msgpack.unpackb, self.products
                for sku in lookups.skus:
                    stored = get(sku.encode(), db=products)
                    if stored is not None:
                        unpack(stored)
            return time.perf_counter() - started

    def answer(self, lookups: Lookups) -> list[object]:
        assert self.environment is not None
        with self.environment.begin() as transaction:
            if self.ranges:
                return [self._priced_from(transaction, price) for price in lookups.prices]
            return [self._row(transaction, sku.encode()) for sku in lookups.skus]

    def _row(self, transaction: lmdb.Transaction, key: bytes) -> Any:
        stored = transaction.get(key, db=self.products)
        return None if stored is None else msgpack.unpackb(stored)

    def _priced_from(self, transaction: lmdb.Transaction, price: int) -> list[Any]:
        rows = []
        with transaction.cursor(self.by_price) as cursor:
            if cursor.set_range(price.to_bytes(8, "big")):
                for key in cursor.iternext(keys=False):
                    rows.append(self._row(transaction, bytes(key)))
                    if len(rows) == RANGE_LENGTH:
                        break
        return rows

    def close(self) -> None:
        if self.environment is not None:
            self.environment.close()
