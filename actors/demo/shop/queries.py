"""The shop's questions. Each runs on one snapshot of the models that it names; rows are plain dicts.

Prices and revenue are whole cents; days are `datetime.date`.
"""

from __future__ import annotations

from datetime import date
from itertools import islice
from typing import Any

from actors import View
from actors.demo.shop.domain import shop
from actors.demo.shop.models import (
    by_category,
    by_day,
    by_word,
    catalogue,
    levels,
    orders,
    placed_orders,
    products,
    sales,
    stock,
)
from storage.tables.index import split_words

Row = dict[str, Any]


@shop.query(reads=[catalogue])
class SearchProducts:
    """Products whose name holds all the words of the text, in any order, cheapest first."""

    text: str
    limit: int = 20

    def run(self, view: View) -> list[Row]:
        table = view[products]
        wanted = set(split_words(self.text))
        if not wanted:
            return []
        rarest = min(wanted, key=lambda word: table.count(by_word, equal=word))
        found = (
            row for row in table.range(by_word, equal=rarest) if wanted.issubset(split_words(row["name"]))
        )
        return list(islice(found, self.limit))


@shop.query(reads=[catalogue], cache=True)
class Cheapest:
    limit: int = 10

    def run(self, view: View) -> list[Row]:
        return list(view[products].range("price", limit=self.limit))


@shop.query(reads=[catalogue])
class ProductsInCategory:
    """A category by price: from `min_price` to `max_price` cents, both included."""

    category: str
    min_price: int = 0
    max_price: int | None = None
    limit: int = 20

    def run(self, view: View) -> list[Row]:
        return list(
            view[products].range(
                ("category", "price"),
                self.min_price,
                self.max_price,
                equal=self.category,
                include_stop=True,
                limit=self.limit,
            )
        )


@shop.query(reads=[catalogue])
class ProductsByPrefix:
    """Products whose name begins so, by name: what a search box offers while one types."""

    prefix: str
    limit: int = 20

    def run(self, view: View) -> list[Row]:
        return list(view[products].prefix("name", self.prefix, limit=self.limit))


@shop.query(reads=[catalogue, stock])
class ProductDetails:
    """A product with the quantity that is left of it, of one and the same moment; None if it is not sold."""

    sku: str

    def run(self, view: View) -> Row | None:
        product, level = view[products].get(self.sku), view[levels].get(self.sku)
        if product is None or level is None:
            return None
        return {**product, "stock": level["quantity"]}


@shop.query(reads=[stock])
class StockAlerts:
    """Products on sale of which fewer than `threshold` are left, the scarcest first."""

    threshold: int = 5
    limit: int | None = None

    def run(self, view: View) -> list[Row]:
        return list(
            view[levels].range(("sold", "quantity"), None, self.threshold, equal=True, limit=self.limit)
        )


@shop.query(reads=[sales])
class SalesByCategory:
    """A category's sales day by day, from `first_day` to `last_day`, both included."""

    category: str
    first_day: date
    last_day: date

    def run(self, view: View) -> list[Row]:
        return list(
            view[by_day].range(
                start=self.first_day, stop=self.last_day, equal=self.category, include_stop=True
            )
        )


@shop.query(reads=[sales], cache=True)
class BestSellingCategories:
    """Categories by revenue, the best first."""

    limit: int = 5

    def run(self, view: View) -> list[Row]:
        return list(view[by_category].range("revenue", reverse=True, limit=self.limit))


@shop.query(reads=[orders])
class CustomerOrders:
    """A customer's orders, the latest first."""

    customer: str
    limit: int = 10

    def run(self, view: View) -> list[Row]:
        return list(
            view[placed_orders].range(
                ("customer", "placed_at"), equal=self.customer, reverse=True, limit=self.limit
            )
        )
