"""The shop that is measured: products are listed and repriced, and looked up by sku and by price.

Deciders run on the command handler's thread, projections on each replica's, queries on a query actor's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from actors import Domain, Rejected

shop = Domain("bench")

Row = dict[str, Any]


@shop.state(stream="product-{sku}")
class Product:
    sku: str
    name: str
    price: int


@shop.event(Product)
class ProductListed:
    sku: str
    name: str
    price: int


@shop.event(Product)
class PriceChanged:
    sku: str
    price: int


@shop.command(Product)
class ListProduct:
    sku: str
    name: str
    price: int


@shop.command(Product)
class ChangePrice:
    sku: str
    price: int


Command = ListProduct | ChangePrice


@shop.decide
def list_product(product: Product | None, command: ListProduct) -> Iterator[ProductListed]:
    if product is not None:
        raise Rejected(f"{command.sku} is listed already", code="product.exists")
    yield ProductListed(command.sku, command.name, command.price)


@shop.decide
def change_price(product: Product | None, command: ChangePrice) -> Iterator[PriceChanged]:
    if product is None:
        raise Rejected(f"no product {command.sku}", code="product.unknown")
    if command.price != product.price:
        yield PriceChanged(command.sku, command.price)


@shop.evolve
def listed(product: None, event: ProductListed) -> Product:
    return Product(event.sku, event.name, event.price)


@shop.evolve
def repriced(product: Product, event: PriceChanged) -> Product:
    return Product(product.sku, product.name, event.price)


catalog = shop.read_model("catalog", version=1)
products = catalog.table("products", key="sku", indexes=["price"])


@catalog.on
def on_listed(event: ProductListed, tables: Any) -> None:
    tables[products].put({"sku": event.sku, "name": event.name, "price": event.price})


@catalog.on
def on_repriced(event: PriceChanged, tables: Any) -> None:
    tables[products].update(event.sku, price=event.price)


@shop.query(reads=[catalog])
class ProductBySku:
    sku: str

    def run(self, view: Any) -> Row | None:
        row: Row | None = view[products].get(self.sku)
        return row


@shop.query(reads=[catalog])
class PricedFrom:
    price: int
    limit: int

    def run(self, view: Any) -> list[Row]:
        return list(view[products].range("price", self.price, limit=self.limit))


@shop.query(reads=[catalog])
class PriceSum:
    """A number out of many rows: work for whoever answers, and little to carry back."""

    low: int
    high: int

    def run(self, view: Any) -> int:
        return sum(row["price"] for row in view[products].range("price", self.low, self.high))
