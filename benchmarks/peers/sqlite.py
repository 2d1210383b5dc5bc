"""Plain sqlite3: an events table and a state table, decided in Python, one transaction for both.

Several callers share one connection under a lock: connections of their own would sleep in SQLite's busy
handler and come out slower.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack

from benchmarks.domain import Command, ListProduct
from benchmarks.peers.base import CommandPeer, QueryPeer, in_batches, time_callers
from benchmarks.workload import BATCH, PRODUCTS, RANGE_LENGTH, Lookups, Wanted, listing

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE events (
    position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL,
    type TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (stream, version)
);
CREATE TABLE products (
    sku TEXT PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, version INTEGER NOT NULL
) WITHOUT ROWID;
"""
PRICE_INDEX = "CREATE INDEX products_price ON products (price)"


class Shop:
    """The store, its commands, and the lock that makes callers take turns."""

    def __init__(self, folder: Path) -> None:
        # isolation_level=None: transactions begin and end where this file says so.
        self.connection = sqlite3.connect(
            folder / "shop.sqlite", isolation_level=None, check_same_thread=False
        )
        self.connection.executescript(SCHEMA)
        self.connection.execute("PRAGMA synchronous = FULL")
        self.lock = threading.Lock()

    def carry_out(self, commands: Sequence[Command]) -> None:
        with self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                for command in commands:
                    self._decide(command)
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    def _decide(self, command: Command) -> None:
        run = self.connection.execute
        found = run("SELECT name, price, version FROM products WHERE sku = ?", (command.sku,)).fetchone()
        fields: dict[str, Any]
        if isinstance(command, ListProduct):
            if found is not None:
                raise ValueError(f"{command.sku} is listed already")
            kind, version = "ProductListed", 1
            fields = {"sku": command.sku, "name": command.name, "price": command.price}
            run("INSERT INTO products VALUES (?, ?, ?, 1)", (command.sku, command.name, command.price))
        else:
            if found is None:
                raise ValueError(f"no product {command.sku}")
            if found[1] == command.price:
                return
            kind, version = "PriceChanged", found[2] + 1
            fields = {"sku": command.sku, "price": command.price}
            run(
                "UPDATE products SET price = ?, version = ? WHERE sku = ?",
                (command.price, version, command.sku),
            )
        run(
            "INSERT INTO events (stream, version, type, data) VALUES (?, ?, ?, ?)",
            (f"product-{command.sku}", version, kind, msgpack.packb(fields)),
        )

    def close(self) -> None:
        self.connection.close()


class SqliteCommands(CommandPeer):
    """Transactions of `batch` commands."""

    promises = "WAL, synchronous=FULL: an fsync a transaction; one connection, callers take turns"
    shop: Shop | None = None

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch

    def setup(self, folder: Path) -> None:
        self.shop = Shop(folder)

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        assert self.shop is not None
        carry_out = self.shop.carry_out
        if self.batch == 1:
            return time_callers(shares, [lambda command: carry_out((command,))] * len(shares))
        started = time.perf_counter()
        for share in shares:
            for batch in in_batches(share, self.batch):
                carry_out(batch)
        return time.perf_counter() - started

    def written(self) -> int:
        assert self.shop is not None
        count: int = self.shop.connection.execute("SELECT count(*) FROM events").fetchone()[0]
        return count

    def close(self) -> None:
        if self.shop is not None:
            self.shop.close()


class SqliteQueries(QueryPeer):
    """Look-ups over a read-only connection, each its own read transaction, rows as dicts."""

    promises = "one read-only connection, a prepared statement a query"
    shop: Shop | None = None
    reader: sqlite3.Connection | None = None

    def __init__(self, wanted: Wanted = "row") -> None:
        self.ranges = wanted == "range"

    def setup(self, folder: Path) -> None:
        self.shop = Shop(folder)
        for batch in in_batches((listing(number) for number in range(PRODUCTS)), BATCH):
            self.shop.carry_out(batch)
        self.shop.connection.execute(PRICE_INDEX)
        self.reader = sqlite3.connect((folder / "shop.sqlite").as_uri() + "?mode=ro", uri=True)

    def queries(self, lookups: Lookups) -> float:
        started = time.perf_counter()
        if self.ranges:
            for price in lookups.prices:
                self._priced_from(price)
        else:
            for sku in lookups.skus:
                self._product(sku)
        return time.perf_counter() - started

    def answer(self, lookups: Lookups) -> list[object]:
        if self.ranges:
            return [self._priced_from(price) for price in lookups.prices]
        return [self._product(sku) for sku in lookups.skus]

    def _product(self, sku: str) -> dict[str, object]:
        assert self.reader is not None
        row = self.reader.execute("SELECT sku, name, price FROM products WHERE sku = ?", (sku,)).fetchone()
        return {"sku": row[0], "name": row[1], "price": row[2]}

    def _priced_from(self, price: int) -> list[dict[str, object]]:
        assert self.reader is not None
        rows = self.reader.execute(
            "SELECT sku, name, price FROM products WHERE price >= ? ORDER BY price, sku LIMIT ?",
            (price, RANGE_LENGTH),
        )
        return [{"sku": row[0], "name": row[1], "price": row[2]} for row in rows]

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
        if self.shop is not None:
            self.shop.close()
