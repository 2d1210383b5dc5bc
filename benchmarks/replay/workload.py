"""The histories that every peer replays: products are listed, then all of them repriced, again and again.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from math import gcd

from benchmarks.domain import ChangePrice, Command, ListProduct

EACH = 5
"""Events of each product: its listing and four prices, each after those of all the others."""

STRIDE = 7_919
"""From one product to the next one that is listed, where each has one event: keys come in no order."""


def products_of(total: int, each: int = EACH) -> int:
    """How many products have `total` events together."""
    return -(-total // each)


def history(total: int, each: int = EACH) -> Iterator[Command]:
    """The commands that give these events, one each."""
    products = products_of(total, each)
    stride = 1
    if each == 1 and total:
        stride = next(one for one in count(STRIDE) if gcd(one, products) == 1)
    for number in range(total):
        turn, place = divmod(number, products)
        product = place * stride % products
        sku = f"sku-{product:07}"
        if turn == 0:
            yield ListProduct(sku, f"Product number {product}", price_of(product, 0))
        else:
            yield ChangePrice(sku, price_of(product, turn))


def price_of(product: int, turn: int) -> int:
    """The price after so many changes: never the one before, in another order of products each time."""
    return 1_000 + product * (2 * turn + 1) % 99_991 + turn


def expected(total: int, each: int = EACH) -> tuple[int, int]:
    """What the table holds at the end: the number of rows and the sum of their prices."""
    products = products_of(total, each)
    last, beyond = divmod(total - 1, products) if total else (0, -1)
    prices = (price_of(product, last if product <= beyond else last - 1) for product in range(products))
    return products, sum(prices)
