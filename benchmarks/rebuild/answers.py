"""What queries must answer, whichever build of the model serves them. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import count
from typing import Any

from benchmarks.domain import ChangePrice, ListProduct, PricedFrom, ProductBySku
from benchmarks.replay.workload import EACH, price_of, products_of

LENGTH = 10
"""Rows of a range."""
DEAR = 1 << 40
"""Prices of the products that change meanwhile: above all others, so that no range meets them."""


class Answers:
    """The right answers of a store whose history is that of `benchmarks.replay`.

    A build that is not whole lacks rows, or shows prices that were changed later: either is a wrong answer.
    """

    def __init__(self, events: int) -> None:
        """`events` is a multiple of `EACH`, so that every product has had its last price."""
        self._prices = [price_of(product, EACH - 1) for product in range(products_of(events))]
        ordered = sorted((price, product) for product, price in enumerate(self._prices))
        self._ordered = [self._row(product, price) for price, product in ordered]
        self._in_order = [price for price, _ in ordered]

    @staticmethod
    def _row(product: int, price: int) -> dict[str, Any]:
        return {"sku": f"sku-{product:07}", "name": f"Product number {product}", "price": price}

    def asked(self, number: int) -> tuple[ProductBySku | PricedFrom, Any]:
        """A query and its right answer: by key and by range in turn, over all products."""
        # 7919 is prime: neighbours are not asked for one after the other.
        product = number * 7919 % len(self._prices)
        if number % 2:
            row = self._row(product, self._prices[product])
            return ProductBySku(row["sku"]), row
        price = self._prices[product]
        place = bisect_left(self._in_order, price)
        return PricedFrom(price, LENGTH), self._ordered[place : place + LENGTH]


def is_right(answer: Any, right: Any) -> bool:
    """Whether it is the right answer; a range at the end may go on with dear products."""
    if isinstance(right, list):
        answer = [row for row in answer if row["price"] < DEAR]
    return bool(answer == right)


def changes() -> Iterator[ListProduct | ChangePrice]:
    """Commands that come meanwhile, without end: a few dear products whose prices go up."""
    for number in range(10):
        yield ListProduct(f"dear-{number}", f"Dear product number {number}", DEAR)
    for number in count():
        yield ChangePrice(f"dear-{number % 10}", DEAR + 1 + number)
