"""Orders of one product each: placed, then shipped or cancelled. Amounts are whole cents. Pure rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum

from actors import Rejected
from actors.demo.fulfilment.domain import delivery


@delivery.value
class OrderStatus(Enum):
    PLACED = "placed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


@delivery.state(stream="order-{order_id}")
class Order:
    order_id: str
    sku: str
    quantity: int
    status: OrderStatus = OrderStatus.PLACED


@delivery.event(Order)
class OrderPlaced:
    order_id: str
    customer: str
    sku: str
    quantity: int
    amount: int


@delivery.event(Order)
class OrderShipped:
    order_id: str


@delivery.event(Order)
class OrderCancelled:
    order_id: str
    reason: str


@delivery.command(Order)
class PlaceOrder:
    order_id: str
    customer: str
    sku: str
    quantity: int
    amount: int

    def validate(self) -> None:
        if self.quantity < 1 or self.amount < 1:
            raise Rejected("an order is for at least one piece and one cent", code="order.empty")


@delivery.command(Order)
class CancelOrder:
    """By the customer or by the shop, until the order is shipped."""

    order_id: str
    reason: str = "by the customer"


def require_open(order: Order | None, order_id: str) -> Order:
    """The order if it is open; Rejected as order.unknown, order.shipped or order.cancelled."""
    if order is None:
        raise Rejected(f"there is no order {order_id}", code="order.unknown")
    if order.status is not OrderStatus.PLACED:
        raise Rejected(f"order {order_id} is {order.status.value}", code=f"order.{order.status.value}")
    return order


@delivery.decide
def place_order(order: Order | None, command: PlaceOrder) -> Iterator[OrderPlaced]:
    if order is not None:
        raise Rejected(f"order {command.order_id} exists already", code="order.exists")
    yield OrderPlaced(command.order_id, command.customer, command.sku, command.quantity, command.amount)


@delivery.decide
def cancel_order(order: Order | None, command: CancelOrder) -> Iterator[OrderCancelled]:
    require_open(order, command.order_id)
    yield OrderCancelled(command.order_id, command.reason)


@delivery.evolve
def placed(order: None, event: OrderPlaced) -> Order:
    return Order(event.order_id, event.sku, event.quantity)


@delivery.evolve
def shipped(order: Order, event: OrderShipped) -> Order:
    return replace(order, status=OrderStatus.SHIPPED)


@delivery.evolve
def cancelled(order: Order, event: OrderCancelled) -> Order:
    return replace(order, status=OrderStatus.CANCELLED)
