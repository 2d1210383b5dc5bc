"""The shop's read models: the tables that its queries are answered from.

Projections run on each replica's thread, inside the transaction that also moves the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors import words
from actors.demo.shop.domain import shop
from actors.demo.shop.orders import OrderCancelled, OrderPlaced, OrderStatus, SoldLine
from actors.demo.shop.products import (
    ProductDescribed,
    ProductDiscontinued,
    ProductListed,
    ProductRepriced,
    ProductRestocked,
    StockReleased,
    StockReserved,
)
from storage import TableSchema, TableWriter

Tables = Mapping[TableSchema, TableWriter]


# -- catalogue: what can be bought --------------------------------------------------------
catalogue = shop.read_model("catalogue", version=1)
by_word = (words("name"), "price")
products = catalogue.table("products", key="sku", indexes=["price", "name", ("category", "price"), by_word])


@catalogue.on
def list_in_catalogue(event: ProductListed, tables: Tables) -> None:
    tables[products].put(
        {
            "sku": event.sku,
            "name": event.name,
            "category": event.category,
            "price": event.price,
            "description": "",
        }
    )


@catalogue.on
def describe_in_catalogue(event: ProductDescribed, tables: Tables) -> None:
    tables[products].update(event.sku, name=event.name, description=event.description)


@catalogue.on
def reprice_in_catalogue(event: ProductRepriced, tables: Tables) -> None:
    tables[products].update(event.sku, price=event.price)


@catalogue.on
def remove_from_catalogue(event: ProductDiscontinued, tables: Tables) -> None:
    tables[products].delete(event.sku)


# -- stock: what is there, and what runs out ----------------------------------------------
stock = shop.read_model("stock", version=1)
levels = stock.table("levels", key="sku", indexes=[("sold", "quantity")])


@stock.on
def count_from_zero(event: ProductListed, tables: Tables) -> None:
    tables[levels].put({"sku": event.sku, "name": event.name, "quantity": 0, "sold": True})


@stock.on
def name_in_stock(event: ProductDescribed, tables: Tables) -> None:
    tables[levels].update(event.sku, name=event.name)


@stock.on
def add_to_stock(event: ProductRestocked | StockReleased, tables: Tables) -> None:
    change_level(tables, event.sku, event.quantity)


@stock.on
def take_from_stock(event: StockReserved, tables: Tables) -> None:
    change_level(tables, event.sku, -event.quantity)


@stock.on
def end_alerts(event: ProductDiscontinued, tables: Tables) -> None:
    tables[levels].update(event.sku, sold=False)


def change_level(tables: Tables, sku: str, change: int) -> None:
    level = tables[levels].get(sku)
    assert level is not None, f"stock of {sku}, which was never listed, changed"
    tables[levels].update(sku, quantity=level["quantity"] + change)


# -- sales: by category and day, and in all -----------------------------------------------
sales = shop.read_model("sales", version=1)
by_day = sales.table("by_day", key=("category", "day"))
by_category = sales.table("by_category", key="category", indexes=["revenue"])


@sales.on
def count_sale(event: OrderPlaced, tables: Tables) -> None:
    add_to_sales(tables, event, 1)


@sales.on
def take_sale_back(event: OrderCancelled, tables: Tables) -> None:
    add_to_sales(tables, event, -1)


def add_to_sales(tables: Tables, event: OrderPlaced | OrderCancelled, sign: int) -> None:
    """Add an order to its day, or take it back: revenue in cents, orders that held the category, items."""
    day = event.placed_at.date()
    lines_of: dict[str, list[SoldLine]] = {}
    for line in event.lines:
        lines_of.setdefault(line.category, []).append(line)
    for category, lines in lines_of.items():
        quantity = sign * sum(line.quantity for line in lines)
        revenue = sign * sum(line.quantity * line.price for line in lines)
        nothing: dict[str, Any] = {"category": category, "quantity": 0, "revenue": 0, "orders": 0}
        for table, row in (
            (tables[by_day], tables[by_day].get((category, day)) or {**nothing, "day": day}),
            (tables[by_category], tables[by_category].get(category) or nothing),
        ):
            row["quantity"] += quantity
            row["revenue"] += revenue
            row["orders"] += sign
            table.put(row)


# -- orders: what each customer bought ----------------------------------------------------
orders = shop.read_model("orders", version=1)
placed_orders = orders.table("orders", key="order_id", indexes=[("customer", "placed_at")])


@orders.on
def add_order(event: OrderPlaced, tables: Tables) -> None:
    tables[placed_orders].put(
        {
            "order_id": event.order_id,
            "customer": event.customer,
            "placed_at": event.placed_at,
            "items": sum(line.quantity for line in event.lines),
            "total": sum(line.quantity * line.price for line in event.lines),
            "status": OrderStatus.PLACED,
        }
    )


@orders.on
def cancel_order(event: OrderCancelled, tables: Tables) -> None:
    tables[placed_orders].update(event.order_id, status=OrderStatus.CANCELLED)
