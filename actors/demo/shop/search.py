"""Full-text search: products by the words of their names and descriptions, the best first.

A read model in SQLite, for what its FTS5 does well: ranking, beginnings of words, and showing what was found.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from actors import View
from actors.demo.shop.domain import shop
from actors.demo.shop.products import ProductDescribed, ProductDiscontinued, ProductListed, ProductRepriced
from storage.engines.sqlite.full_text import fts_match

search = shop.read_model(
    "search",
    version=1,
    engine="sqlite",
    schema="""
    CREATE TABLE products (
        id INTEGER PRIMARY KEY,
        sku TEXT NOT NULL UNIQUE,
        category TEXT NOT NULL,
        price INTEGER NOT NULL,
        name TEXT NOT NULL,
        description TEXT NOT NULL DEFAULT ''
    );
    -- The words alone; the texts are those of the products.
    CREATE VIRTUAL TABLE texts USING fts5(
        name, description, content='products', content_rowid='id', prefix='2 3',
        tokenize='unicode61 remove_diacritics 2'
    );
    CREATE TRIGGER listed AFTER INSERT ON products BEGIN
        INSERT INTO texts (rowid, name, description) VALUES (new.id, new.name, new.description);
    END;
    CREATE TRIGGER described AFTER UPDATE OF name, description ON products BEGIN
        INSERT INTO texts (texts, rowid, name, description)
        VALUES ('delete', old.id, old.name, old.description);
        INSERT INTO texts (rowid, name, description) VALUES (new.id, new.name, new.description);
    END;
    CREATE TRIGGER discontinued AFTER DELETE ON products BEGIN
        INSERT INTO texts (texts, rowid, name, description)
        VALUES ('delete', old.id, old.name, old.description);
    END;
    """,
)


@search.on
def list_for_search(event: ProductListed, db: sqlite3.Connection) -> None:
    db.execute(
        "INSERT INTO products (sku, category, price, name) VALUES (?, ?, ?, ?)",
        (event.sku, event.category, event.price, event.name),
    )


@search.on
def describe_for_search(event: ProductDescribed, db: sqlite3.Connection) -> None:
    db.execute(
        "UPDATE products SET name = ?, description = ? WHERE sku = ?",
        (event.name, event.description, event.sku),
    )


@search.on
def reprice_for_search(event: ProductRepriced, db: sqlite3.Connection) -> None:
    db.execute("UPDATE products SET price = ? WHERE sku = ?", (event.price, event.sku))


@search.on
def remove_from_search(event: ProductDiscontinued, db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM products WHERE sku = ?", (event.sku,))


@shop.query(reads=[search])
class FindProducts:
    """Products whose name or description has all the words, of the last perhaps the beginning; the best
    first.

    A word in the name counts ten times one in the description. What was found stands in brackets.
    """

    text: str
    limit: int = 20

    def run(self, view: View) -> list[dict[str, Any]]:
        found = view[search].execute(
            """
            SELECT sku, highlight(texts, 0, '[', ']') AS name, category, price,
                   snippet(texts, 1, '[', ']', '...', 10) AS excerpt,
                   round(-bm25(texts, 10.0, 1.0), 3) AS score
            FROM texts JOIN products ON products.id = texts.rowid
            WHERE texts MATCH ? ORDER BY bm25(texts, 10.0, 1.0), price, sku LIMIT ?
            """,
            (fts_match(self.text, prefix=True), max(self.limit, 0)),
        )
        return [dict(row) for row in found]
