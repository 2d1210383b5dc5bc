"""Who replays: one contract, and the peers that are nothing but this library and the standard one.

A peer is made for one measurement on an empty folder and is closed after it; all on the main thread.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from abc import ABC, abstractmethod
from itertools import islice
from pathlib import Path

import lmdb
import msgpack

from actors import System
from benchmarks.domain import ListProduct, catalog, products, shop
from benchmarks.peers.base import in_batches
from benchmarks.replay.workload import EACH, history

TIMEOUT = 600.0
BATCH = 2_000


class ReplayPeer(ABC):
    """Fills a table of sku, name and price, with an index on the price, from a log on disk."""

    keeps: str
    """What is durable when: printed under the table."""
    each: int = EACH
    """Events of each product, set before `fill`."""

    @abstractmethod
    def fill(self, folder: Path, total: int) -> None:
        """Write the history. Not timed."""

    @abstractmethod
    def replay(self) -> float:
        """Apply all of it to an empty table; seconds."""

    @abstractmethod
    def found(self) -> tuple[int, int]:
        """How many rows the table has, and the sum of their prices."""

    @abstractmethod
    def close(self) -> None:
        """Close the store; also after a failure half-way."""


class OneWriterReplay(ReplayPeer):
    """A system with one replica that has lost its tables, from the opening until it has caught up."""

    keeps = (
        "checkpoint and tables in one transaction for as many events as take 0.25 s, "
        "no fsync: the log has it all"
    )
    system: System | None = None

    def fill(self, folder: Path, total: int) -> None:
        self.path = folder / "shop"
        with System.open(self.path, shop, replicas=1) as system:
            for batch in in_batches(history(total, self.each), BATCH):
                system.execute_many(batch, timeout=TIMEOUT)
        shutil.rmtree(self.path / "replicas")

    def replay(self) -> float:
        started = time.perf_counter()
        self.system = System.open(self.path, shop, replicas=1)
        self.system.wait_applied(timeout=TIMEOUT)
        return time.perf_counter() - started

    def found(self) -> tuple[int, int]:
        assert self.system is not None
        with self.system.view(catalog) as view:
            prices = [row["price"] for row in view[products].range("price")]
        return len(prices), sum(prices)

    def close(self) -> None:
        if self.system is not None:
            self.system.close()


class SqliteLoop(ReplayPeer):
    """A loop over an events table, with a transaction for as many events as a replica takes."""

    keeps = f"checkpoint and table in one transaction for {BATCH:,} events, WAL, synchronous=OFF: no fsync"
    connection: sqlite3.Connection | None = None

    def fill(self, folder: Path, total: int) -> None:
        self.connection = sqlite3.connect(folder / "shop.sqlite", isolation_level=None)
        self.connection.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = OFF;
            CREATE TABLE events (position INTEGER PRIMARY KEY, type TEXT NOT NULL, data BLOB NOT NULL);
            CREATE TABLE products (
                sku TEXT PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL
            ) WITHOUT ROWID;
            CREATE INDEX products_price ON products (price);
            CREATE TABLE checkpoint (position INTEGER NOT NULL);
            INSERT INTO checkpoint VALUES (0);
            """
        )
        self.connection.execute("BEGIN")
        for command in history(total, self.each):
            listed = isinstance(command, ListProduct)
            fields = {"sku": command.sku, "price": command.price}
            if isinstance(command, ListProduct):
                fields["name"] = command.name
            self.connection.execute(
                "INSERT INTO events (type, data) VALUES (?, ?)",
                ("ProductListed" if listed else "PriceChanged", msgpack.packb(fields)),
            )
        self.connection.execute("COMMIT")

    def replay(self) -> float:
        assert self.connection is not None
        run = self.connection.execute
        started = time.perf_counter()
        events = iter(run("SELECT position, type, data FROM events ORDER BY position"))
        while batch := list(islice(events, BATCH)):
            run("BEGIN")
            for _, kind, data in batch:
                fields = msgpack.unpackb(data)
                if kind == "ProductListed":
                    run("INSERT INTO products VALUES (:sku, :name, :price)", fields)
                else:
                    run("UPDATE products SET price = :price WHERE sku = :sku", fields)
            run("UPDATE checkpoint SET position = ?", (batch[-1][0],))
            run("COMMIT")
        return time.perf_counter() - started

    def found(self) -> tuple[int, int]:
        assert self.connection is not None
        count, total = self.connection.execute("SELECT count(*), sum(price) FROM products").fetchone()
        return count, total

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


class LmdbBulkLoad(ReplayPeer):
    """No replay at all: the rows and index entries of the end, encoded and sorted beforehand.

    LMDB's fastest way to write them, which any other way can only come near to.
    """

    keeps = "rows and index entries appended in one transaction, no fsync, nothing read, decoded or sorted"
    environment: lmdb.Environment | None = None

    def fill(self, folder: Path, total: int) -> None:
        rows: dict[str, dict[str, str | int]] = {}
        for command in history(total, self.each):
            if isinstance(command, ListProduct):
                rows[command.sku] = {"sku": command.sku, "name": command.name, "price": command.price}
            else:
                rows[command.sku]["price"] = command.price
        self.rows = sorted((sku.encode(), msgpack.packb(row)) for sku, row in rows.items())
        self.prices = sorted(
            (int(row["price"]).to_bytes(8) + sku.encode(), sku.encode()) for sku, row in rows.items()
        )
        self.environment = lmdb.open(
            str(folder / "shop"), map_size=1 << 32, max_dbs=2, sync=False, lib_version=0
        )

    def replay(self) -> float:
        assert self.environment is not None
        started = time.perf_counter()
        with self.environment.begin(write=True) as transaction:
            for name, entries in ((b"products", self.rows), (b"price", self.prices)):
                database = self.environment.open_db(name, txn=transaction)
                with transaction.cursor(database) as cursor:
                    cursor.putmulti(entries, append=True)
        return time.perf_counter() - started

    def found(self) -> tuple[int, int]:
        assert self.environment is not None
        products = self.environment.open_db(b"products")
        price = self.environment.open_db(b"price")
        with self.environment.begin() as transaction:
            prices = [
                msgpack.unpackb(transaction.get(sku, db=products))["price"]
                for _, sku in transaction.cursor(price)
            ]
        return len(prices), sum(prices)

    def close(self) -> None:
        if self.environment is not None:
            self.environment.close()
