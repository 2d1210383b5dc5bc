"""A shop that delivers: orders, payments and shipments, and the workflow that spans them.

An order is placed, its payment is requested and charged or declined, and its shipment is arranged or found to
be out of stock. A customer who cancels in between gets the money back. `orders`, `payments` and `shipments`
are the write side, `process` has the process manager that leads from one to the next, and `overview` the
table that shows where each order is. Importing this package registers all of them with `delivery`.
"""

from __future__ import annotations

from actors.demo.fulfilment.domain import delivery
from actors.demo.fulfilment.gateway import Gateway, MemoryGateway, use_gateway
from actors.demo.fulfilment.orders import CancelOrder, PlaceOrder
from actors.demo.fulfilment.overview import OrderOverview, OrdersByPhase, where_is
from actors.demo.fulfilment.payments import ConfirmPayment, DeclinePayment, RefundPayment, RequestPayment
from actors.demo.fulfilment.process import PAYMENT_TIME, fulfilment
from actors.demo.fulfilment.shipments import ArrangeShipment, StockUp

__all__ = [
    "PAYMENT_TIME",
    "ArrangeShipment",
    "CancelOrder",
    "ConfirmPayment",
    "DeclinePayment",
    "Gateway",
    "MemoryGateway",
    "OrderOverview",
    "OrdersByPhase",
    "PlaceOrder",
    "RefundPayment",
    "RequestPayment",
    "StockUp",
    "delivery",
    "fulfilment",
    "use_gateway",
    "where_is",
]
