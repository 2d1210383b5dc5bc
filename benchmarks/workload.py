"""What is asked of every peer: the same commands in the same order per product, the same look-ups.

Plain data, made before the clock starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.domain import ChangePrice, Command, ListProduct

PRODUCTS = 1_000
RANGE_LENGTH = 10
SUM_LENGTH = 100
BATCH = 100

Wanted = Literal["row", "range", "sum"]
"""What a look-up asks for: the row of a key, the rows from a price on, or the sum of their prices."""


def sku(number: int) -> str:
    return f"sku-{number:05}"


def listing(number: int) -> ListProduct:
    return ListProduct(sku(number), f"Product number {number}", 1_000 + number)


def commands_for(caller: int, callers: int, total: int) -> list[Command]:
    """One caller's share of `total` commands: it lists its products, then reprices them in turn.

    A product belongs to one caller, so no peer meets a conflict; each command changes something, so none
    may skip its write.
    """
    products = min(PRODUCTS, total)
    own = range(caller, products, callers)
    shares = [total // callers + (index < total % callers) for index in range(callers)]
    rest = shares[caller] - len(own)
    reprices = [ChangePrice(sku(own[turn % len(own)]), 5_000 + turn) for turn in range(rest)]
    return [*(listing(number) for number in own), *reprices]


def shares(callers: int, total: int) -> list[list[Command]]:
    return [commands_for(caller, callers, total) for caller in range(callers)]


@dataclass(frozen=True)
class Lookups:
    """Keys and prices to look up, over all products, in an order that no cache line likes."""

    skus: list[str]
    prices: list[int]


def lookups(total: int) -> Lookups:
    # 617 shares no factor with 1,000: every product is met, no two neighbours in a row.
    numbers = [turn * 617 % PRODUCTS for turn in range(total)]
    return Lookups(
        skus=[sku(number) for number in numbers],
        prices=[1_000 + number % (PRODUCTS - SUM_LENGTH) for number in numbers],
    )


def right_answers(lookups: Lookups, wanted: Wanted) -> list[object]:
    """What every peer must answer while no product was repriced."""
    if wanted == "range":
        return [[row_of(price - 1_000 + step) for step in range(RANGE_LENGTH)] for price in lookups.prices]
    if wanted == "sum":
        return [sum(range(price, price + SUM_LENGTH)) for price in lookups.prices]
    return [row_of(int(sku.removeprefix("sku-"))) for sku in lookups.skus]


def row_of(number: int) -> dict[str, object]:
    """The row of a product that was listed and never repriced."""
    product = listing(number)
    return {"sku": product.sku, "name": product.name, "price": product.price}
