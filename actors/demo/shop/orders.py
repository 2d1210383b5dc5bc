"""Orders: an order reserves stock of all its products or is rejected with the reason; cancelling releases it.

One decision yields the order's event and one event on each product's stream; they are committed together.
`place` is shared with the checkout of a cart. Pure rules; the writer runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum

from actors import Reader, Rejected
from actors.demo.shop.domain import shop
from actors.demo.shop.limits import require_ids, require_quantity
from actors.demo.shop.products import Product, StockReleased, StockReserved, on_sale


@shop.value
class OrderLine:
    """What a customer asks for: so many of a product."""

    sku: str
    quantity: int


@shop.value
class SoldLine:
    """What was sold: the line with the product's category and its price in cents at that moment."""

    sku: str
    category: str
    quantity: int
    price: int


@shop.value
class OrderStatus(Enum):
    PLACED = "placed"
    CANCELLED = "cancelled"


@shop.state(stream="order-{order_id}")
class Order:
    order_id: str
    customer: str
    placed_at: datetime
    lines: tuple[SoldLine, ...]
    status: OrderStatus = OrderStatus.PLACED


# -- events -------------------------------------------------------------------------------
@shop.event(Order)
class OrderPlaced:
    order_id: str
    customer: str
    placed_at: datetime
    lines: tuple[SoldLine, ...]


@shop.event(Order)
class OrderCancelled:
    """Carries the whole order, so that whoever counted it needs no other event to take it back."""

    order_id: str
    customer: str
    placed_at: datetime
    lines: tuple[SoldLine, ...]
    reason: str


# -- commands -----------------------------------------------------------------------------
@shop.command(Order)
class PlaceOrder:
    """Order several products at once; a product that is named in two lines counts with their sum."""

    order_id: str
    customer: str
    placed_at: datetime
    lines: tuple[OrderLine, ...]

    def validate(self) -> None:
        require_ids(order_id=self.order_id, customer=self.customer)
        require_lines(self.lines, self.order_id)
        for line in self.lines:
            require_ids(sku=line.sku)
            require_quantity(line.quantity)


@shop.command(Order)
class CancelOrder:
    order_id: str
    reason: str = ""

    def validate(self) -> None:
        require_ids(order_id=self.order_id)


def require_lines(lines: Sequence[OrderLine], order_id: str) -> None:
    if not lines:
        raise Rejected(f"order {order_id} has no lines", code="order.empty", order_id=order_id)


# -- decisions ----------------------------------------------------------------------------
def place(
    order_id: str, customer: str, placed_at: datetime, lines: Sequence[OrderLine], read: Reader
) -> Iterator[OrderPlaced | StockReserved]:
    """Yield the order and the stock that it reserves.

    Raises Rejected: order.empty, product.unknown, product.discontinued, or stock.insufficient, whose detail
    `short` tells of each product how many are wanted and how many are there.
    """
    require_lines(lines, order_id)
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    products = {sku: on_sale(read(Product, sku=sku), sku) for sku in wanted}
    short = {
        sku: {"wanted": quantity, "available": products[sku].stock}
        for sku, quantity in wanted.items()
        if quantity > products[sku].stock
    }
    if short:
        missing = ", ".join(
            f"{sku} (wanted {n['wanted']}, available {n['available']})" for sku, n in short.items()
        )
        raise Rejected(f"not enough stock of {missing}", code="stock.insufficient", short=short)
    sold = tuple(
        SoldLine(sku, products[sku].category, quantity, products[sku].price)
        for sku, quantity in wanted.items()
    )
    yield OrderPlaced(order_id, customer, placed_at, sold)
    for sku, quantity in wanted.items():
        yield StockReserved(sku, order_id, quantity)


def order_exists(order_id: str) -> Rejected:
    return Rejected(f"order {order_id} exists already", code="order.exists", order_id=order_id)


@shop.decide
def place_order(
    order: Order | None, command: PlaceOrder, read: Reader
) -> Iterator[OrderPlaced | StockReserved]:
    if order is not None:
        raise order_exists(command.order_id)
    yield from place(command.order_id, command.customer, command.placed_at, command.lines, read)


@shop.decide
def cancel_order(order: Order | None, command: CancelOrder) -> Iterator[OrderCancelled | StockReleased]:
    if order is None:
        raise Rejected(
            f"there is no order {command.order_id}", code="order.unknown", order_id=command.order_id
        )
    if order.status is OrderStatus.CANCELLED:
        raise Rejected(
            f"order {order.order_id} is cancelled already", code="order.cancelled", order_id=order.order_id
        )
    yield OrderCancelled(order.order_id, order.customer, order.placed_at, order.lines, command.reason)
    for line in order.lines:
        yield StockReleased(line.sku, order.order_id, line.quantity)


# -- state --------------------------------------------------------------------------------
@shop.evolve
def placed(order: None, event: OrderPlaced) -> Order:
    return Order(event.order_id, event.customer, event.placed_at, event.lines)


@shop.evolve
def cancelled(order: Order, event: OrderCancelled) -> Order:
    return replace(order, status=OrderStatus.CANCELLED)
