"""Invents the shopping history that the demo replays: `python -m actors.demo.make_history` writes it again.

A season in a small furniture shop: 120 products in 8 categories, 60 customers, about 6,000 commands in the
order in which they came in. Some are refused on purpose: stock runs out, a name is mistyped, a product is
discontinued, an order is sent twice. The seed is fixed, so that the same commands come out every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from actors.demo.history import write_commands
from actors.demo.shop import (
    AbandonCart,
    AddToCart,
    CancelOrder,
    CheckOutCart,
    DescribeProduct,
    DiscontinueProduct,
    DiscountProduct,
    ListProduct,
    OrderLine,
    PlaceOrder,
    RemoveFromCart,
    RepriceProduct,
    RestockProduct,
)

SEED = 20250301
DAYS = 80
FIRST_DAY = datetime(2025, 3, 1, 9, tzinfo=UTC)

# Category: materials, things and the cheapest thing's price in cents.
RANGE = {
    "lighting": (("Brass", "Linen", "Paper", "Oak", "Copper"), ("desk lamp", "floor lamp", "lantern"), 3900),
    "seating": (("Oak", "Walnut", "Rattan", "Velvet", "Steel"), ("armchair", "bar stool", "bench"), 12900),
    "tables": (
        ("Oak", "Walnut", "Marble", "Glass", "Bamboo"),
        ("dining table", "side table", "writing desk"),
        17900,
    ),
    "storage": (
        ("Oak", "Wicker", "Steel", "Canvas", "Pine"),
        ("bookcase", "laundry basket", "wall shelf"),
        2900,
    ),
    "kitchen": (
        ("Cast-iron", "Copper", "Stoneware", "Enamel", "Beech"),
        ("frying pan", "mixing bowl", "utensil jar"),
        1490,
    ),
    "textiles": (("Wool", "Linen", "Cotton", "Velvet", "Hemp"), ("blanket", "cushion", "curtain"), 2490),
    "garden": (
        ("Terracotta", "Zinc", "Teak", "Willow", "Bamboo"),
        ("planter", "watering can", "trellis"),
        1990,
    ),
    "stationery": (
        ("Leather", "Kraft", "Recycled", "Linen", "Brass"),
        ("notebook", "pen case", "letter tray"),
        890,
    ),
}
GIVEN_NAMES = (
    *("ada", "bela", "carla", "dario", "edith", "femi", "greta", "hugo", "ines", "jonas"),
    *("kenji", "lena", "mira", "nils", "olga", "pablo", "quinn", "rosa", "sven", "tara"),
)
CUSTOMERS = [f"{name}-{number}" for number in (1, 2, 3) for name in GIVEN_NAMES]


@dataclass
class Season:
    """What the inventor of the history knows of its shop: enough to order, refuse and restock plausibly."""

    random: Random
    now: datetime = FIRST_DAY
    unlisted: list[ListProduct] = field(default_factory=list)
    prices: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    open_orders: list[str] = field(default_factory=list)
    orders: int = 0
    carts: int = 0

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def some_product(self) -> str:
        """A popular product more often than others; now and then one that is gone or mistyped."""
        if self.gone and self.chance(0.012):
            return self.random.choice(self.gone)
        skus = list(self.stock)
        sku = skus[int(len(skus) * self.random.random() ** 1.8)]
        return sku[:-1] if self.chance(0.004) else sku

    def some_quantity(self) -> int:
        return self.random.choices((1, 2, 3, 4, 6), (70, 16, 6, 5, 3))[0]

    def take(self, lines: list[OrderLine]) -> bool:
        """Take the lines from stock if all of them are there."""
        wanted: dict[str, int] = {}
        for line in lines:
            wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
        if any(self.stock.get(sku, 0) < quantity for sku, quantity in wanted.items()):
            return False
        for sku, quantity in wanted.items():
            self.stock[sku] -= quantity
        return True

    def next_order(self) -> str:
        self.orders += 1
        return f"{self.now:%y%m%d}-{self.orders}"


def invent_history(seed: int = SEED) -> Iterator[object]:
    """Yield the history's commands in order."""
    season = Season(Random(seed))
    season.unlisted = list(invent_products(season.random))
    for _ in range(108):
        yield from list_next(season)
    for day in range(DAYS):
        season.now = FIRST_DAY + timedelta(days=day)
        yield from morning(season, day)
        for _ in range(season.random.randrange(32, 44)):
            season.now += timedelta(seconds=season.random.randrange(120, 1200))
            yield from visit(season)


def invent_products(random: Random) -> Iterator[ListProduct]:
    products = []
    for category, (materials, things, cheapest) in RANGE.items():
        for rank, thing in enumerate(things):
            for material in materials:
                name = f"{material} {thing}"
                price = int(cheapest * (1 + 0.4 * rank) * (0.8 + random.random() * 0.9)) // 100 * 100 + 90
                products.append(ListProduct(name.lower().replace(" ", "-"), name, category, price))
    while products:
        yield products.pop(random.randrange(len(products)))


def list_next(season: Season) -> Iterator[object]:
    product = season.unlisted.pop()
    season.prices[product.sku] = product.price
    season.names[product.sku] = product.name
    season.stock[product.sku] = season.random.randrange(10, 40)
    yield product
    yield RestockProduct(product.sku, season.stock[product.sku])
    if season.chance(0.5):
        yield DescribeProduct(
            product.sku, product.name, f"{product.name}, made to last, from our own workshop."
        )


def morning(season: Season, day: int) -> Iterator[object]:
    """Before the shop opens: deliveries, new prices, and now and then a product that comes or goes."""
    random = season.random
    for sku in [sku for sku, quantity in season.stock.items() if quantity < 6 and season.chance(0.45)]:
        quantity = random.randrange(6, 25)
        season.stock[sku] += quantity
        yield RestockProduct(sku, quantity)
    for _ in range(random.randrange(2, 6)):
        sku = random.choice(list(season.stock))
        if season.chance(0.3):
            yield DiscountProduct(sku, Decimal(random.choice(("5", "7.5", "10", "12.5"))))
        else:
            season.prices[sku] = max(
                90, season.prices[sku] + random.choice((-500, -200, -100, 100, 200, 500))
            )
            yield RepriceProduct(sku, season.prices[sku])
    if day % 6 == 3 and season.unlisted:
        yield from list_next(season)
    if day % 11 == 7:
        sku = random.choice(list(season.stock))
        del season.stock[sku]
        season.gone.append(sku)
        yield DiscontinueProduct(sku)
    if season.chance(0.2):
        sku = random.choice(list(season.stock))
        season.names[sku] = f"{season.names[sku]}, new edition".replace(", new edition, new", ", new")
        yield DescribeProduct(sku, season.names[sku], "A new edition of what we have always made.")
    if season.chance(0.05):
        yield RepriceProduct(random.choice(list(season.stock)), 0)


def visit(season: Season) -> Iterator[object]:
    """One customer comes: orders at once, fills a cart, or takes an order back."""
    customer = season.random.choice(CUSTOMERS)
    if season.chance(0.2):
        yield from fill_cart(season, customer)
    elif season.open_orders and season.chance(0.05):
        order_id = season.random.choice(season.open_orders[-40:])
        yield CancelOrder(order_id, season.random.choice(("changed my mind", "too late", "ordered twice")))
    else:
        yield from order(season, customer)


def order(season: Season, customer: str) -> Iterator[object]:
    count = season.random.choices((1, 2, 3, 5), (45, 30, 15, 10))[0]
    lines = [OrderLine(season.some_product(), season.some_quantity()) for _ in range(count)]
    if season.take(lines):
        season.open_orders.append(f"{season.now:%y%m%d}-{season.orders + 1}")
    command = PlaceOrder(season.next_order(), customer, season.now, tuple(lines))
    yield command
    if season.chance(0.006):
        yield command


def fill_cart(season: Season, customer: str) -> Iterator[object]:
    season.carts += 1
    cart_id = f"{season.now:%y%m%d}-{season.carts}"
    lines = [
        OrderLine(season.some_product(), season.some_quantity()) for _ in range(season.random.randrange(1, 6))
    ]
    for line in lines:
        yield AddToCart(cart_id, customer, line.sku, line.quantity)
    if season.chance(0.25):
        dropped = lines.pop(season.random.randrange(len(lines)))
        yield RemoveFromCart(cart_id, dropped.sku)
    if season.chance(0.7):
        order_id = season.next_order()
        if season.take(lines):
            season.open_orders.append(order_id)
        yield CheckOutCart(cart_id, order_id, season.now)
    else:
        yield AbandonCart(cart_id)


if __name__ == "__main__":
    target = Path(__file__).with_name("data") / "history.jsonl.gz"
    count = write_commands(target, invent_history())
    print(f"{count:,} commands, {target.stat().st_size:,} bytes in {target}")
