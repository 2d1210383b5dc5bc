"""Stock, and shipments, which take from it and ship their order in one transaction. Pure rules."""

from __future__ import annotations

from collections.abc import Iterator

from actors import Reader, Rejected
from actors.demo.fulfilment.domain import delivery
from actors.demo.fulfilment.orders import Order, OrderShipped, require_open
from actors.demo.fulfilment.payments import Payment, PaymentStatus, require_status


@delivery.state(stream="stock-{sku}")
class Stock:
    sku: str
    quantity: int


@delivery.state(stream="shipment-{order_id}")
class Shipment:
    order_id: str


@delivery.event(Stock)
class StockedUp:
    sku: str
    quantity: int


@delivery.event(Stock)
class StockTaken:
    sku: str
    order_id: str
    quantity: int


@delivery.event(Shipment)
class ShipmentArranged:
    order_id: str


@delivery.command(Stock)
class StockUp:
    sku: str
    quantity: int

    def validate(self) -> None:
        if self.quantity < 1:
            raise Rejected("at least one piece is stocked", code="stock.nothing")


@delivery.command(Shipment)
class ArrangeShipment:
    order_id: str


@delivery.decide
def stock_up(stock: Stock | None, command: StockUp) -> Iterator[StockedUp]:
    yield StockedUp(command.sku, command.quantity)


@delivery.decide
def arrange_shipment(
    shipment: None, command: ArrangeShipment, read: Reader
) -> Iterator[ShipmentArranged | StockTaken | OrderShipped]:
    order = require_open(read(Order, order_id=command.order_id), command.order_id)
    require_status(read(Payment, order_id=command.order_id), command.order_id, PaymentStatus.CHARGED)
    stock = read(Stock, sku=order.sku)
    if stock is None or stock.quantity < order.quantity:
        raise Rejected(f"too little of {order.sku} for order {order.order_id}", code="stock.insufficient")
    yield ShipmentArranged(order.order_id)
    yield StockTaken(order.sku, order.order_id, order.quantity)
    yield OrderShipped(order.order_id)


@delivery.evolve
def stocked_up(stock: Stock | None, event: StockedUp) -> Stock:
    return Stock(event.sku, event.quantity + (stock.quantity if stock else 0))


@delivery.evolve
def taken(stock: Stock, event: StockTaken) -> Stock:
    return Stock(stock.sku, stock.quantity - event.quantity)


@delivery.evolve
def arranged(shipment: None, event: ShipmentArranged) -> Shipment:
    return Shipment(event.order_id)
