"""One shelf of products, kept three times: in LMDB tables, in SQLite, in memory.

Each on a replica of its own.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from actors import Domain, View
from storage import ObjectSchema, TableSchema, TableWriter

EACH = 5
"""Events of each product: its listing and four prices, each after those of all the others."""

CATEGORIES = 20

shelf = Domain("shelf")


@shelf.event(state=None)
class Listed:
    sku: str
    name: str
    category: str
    price: int


@shelf.event(state=None)
class Repriced:
    sku: str
    price: int


def history(total: int) -> Iterator[Listed | Repriced]:
    """This many events of a fifth as many products."""
    products = -(-total // EACH)
    for number in range(total):
        turn, product = divmod(number, products)
        price = 1_000 + product * (2 * turn + 1) % 99_991 + turn
        if turn:
            yield Repriced(sku_of(product), price)
        else:
            yield Listed(
                sku_of(product), f"Product number {product}", f"category-{product % CATEGORIES}", price
            )


def sku_of(product: int) -> str:
    return f"sku-{product:07}"


# -- LMDB --------------------------------------------------------------------------------------
in_lmdb = shelf.read_model("in_lmdb", replicas=[1])
rows = in_lmdb.table("rows", key="sku", indexes=["price"])


@in_lmdb.on
def list_row(event: Listed, tables: Mapping[TableSchema, TableWriter]) -> None:
    tables[rows].put({"sku": event.sku, "name": event.name, "category": event.category, "price": event.price})


@in_lmdb.on
def reprice_row(event: Repriced, tables: Mapping[TableSchema, TableWriter]) -> None:
    tables[rows].update(event.sku, price=event.price)


# -- SQLite ------------------------------------------------------------------------------------
in_sqlite = shelf.read_model(
    "in_sqlite",
    engine="sqlite",
    replicas=[2],
    schema="""
    CREATE TABLE products (
        sku TEXT PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, price INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX by_price ON products (price);
    """,
)


@in_sqlite.on
def list_in_sqlite(event: Listed, db: sqlite3.Connection) -> None:
    db.execute(
        "INSERT INTO products VALUES (?, ?, ?, ?)", (event.sku, event.name, event.category, event.price)
    )


@in_sqlite.on
def reprice_in_sqlite(event: Repriced, db: sqlite3.Connection) -> None:
    db.execute("UPDATE products SET price = ? WHERE sku = ?", (event.price, event.sku))


# -- memory ------------------------------------------------------------------------------------
in_memory = shelf.read_model("in_memory", engine="memory", replicas=[3])
products = in_memory.object("products", dict)


@in_memory.on
def list_in_memory(event: Listed, objects: Mapping[ObjectSchema, Any]) -> None:
    objects[products][event.sku] = {
        "sku": event.sku,
        "name": event.name,
        "category": event.category,
        "price": event.price,
    }


@in_memory.on
def reprice_in_memory(event: Repriced, objects: Mapping[ObjectSchema, Any]) -> None:
    objects[products][event.sku]["price"] = event.price


MODELS = {"lmdb": in_lmdb, "sqlite": in_sqlite, "memory": in_memory}


# -- questions: one product, the ten cheapest, the sum of prices by category --------------------
@shelf.query(reads=[in_lmdb])
class LmdbOne:
    sku: str

    def run(self, view: View) -> Any:
        return view[rows].get(self.sku)


@shelf.query(reads=[in_lmdb])
class LmdbCheapest:
    def run(self, view: View) -> Any:
        return list(view[rows].range("price", limit=10))


@shelf.query(reads=[in_lmdb])
class LmdbSums:
    def run(self, view: View) -> dict[str, int]:
        return sums(view[rows].all())


@shelf.query(reads=[in_sqlite])
class SqliteOne:
    sku: str

    def run(self, view: View) -> Any:
        return dict(view[in_sqlite].execute("SELECT * FROM products WHERE sku = ?", (self.sku,)).fetchone())


@shelf.query(reads=[in_sqlite])
class SqliteCheapest:
    def run(self, view: View) -> Any:
        found = view[in_sqlite].execute("SELECT * FROM products ORDER BY price, sku LIMIT 10")
        return [dict(row) for row in found]


@shelf.query(reads=[in_sqlite])
class SqliteSums:
    def run(self, view: View) -> dict[str, int]:
        return dict(
            view[in_sqlite].execute("SELECT category, sum(price) FROM products GROUP BY category").fetchall()
        )


@shelf.query(reads=[in_memory])
class MemoryOne:
    sku: str

    def run(self, view: View) -> Any:
        return view[products].get(self.sku)


@shelf.query(reads=[in_memory])
class MemoryCheapest:
    def run(self, view: View) -> Any:
        return heapq.nsmallest(10, view[products].values(), key=lambda row: (row["price"], row["sku"]))


@shelf.query(reads=[in_memory])
class MemorySums:
    def run(self, view: View) -> dict[str, int]:
        return sums(view[products].values())


def sums(found: Any) -> dict[str, int]:
    """The sum of the prices in each category."""
    totals: dict[str, int] = {}
    for row in found:
        totals[row["category"]] = totals.get(row["category"], 0) + row["price"]
    return totals


QUESTIONS: dict[str, dict[str, type]] = {
    "one by its key": {"lmdb": LmdbOne, "sqlite": SqliteOne, "memory": MemoryOne},
    "the ten cheapest": {"lmdb": LmdbCheapest, "sqlite": SqliteCheapest, "memory": MemoryCheapest},
    "sums over all rows": {"lmdb": LmdbSums, "sqlite": SqliteSums, "memory": MemorySums},
}
