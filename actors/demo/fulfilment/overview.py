"""Where each order is: one table, and the questions that it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors import System, View
from actors.demo.fulfilment.domain import delivery
from actors.demo.fulfilment.orders import OrderCancelled, OrderPlaced, OrderShipped
from actors.demo.fulfilment.payments import (
    PaymentCharged,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRequested,
)
from storage import TableSchema, TableWriter

Tables = Mapping[TableSchema, TableWriter]

overview = delivery.read_model("overview")
orders = overview.table("orders", key="order_id", indexes=[("phase", "order_id")])


@overview.on
def add(event: OrderPlaced, tables: Tables) -> None:
    tables[orders].put(
        {
            "order_id": event.order_id,
            "customer": event.customer,
            "amount": event.amount,
            "phase": "placed",
            "payment": "",
            "reason": "",
        }
    )


@overview.on
def ship(event: OrderShipped, tables: Tables) -> None:
    tables[orders].update(event.order_id, phase="shipped")


@overview.on
def cancel(event: OrderCancelled, tables: Tables) -> None:
    tables[orders].update(event.order_id, phase="cancelled", reason=event.reason)


@overview.on
def request(event: PaymentRequested, tables: Tables) -> None:
    tables[orders].update(event.order_id, payment="requested")


@overview.on
def charge(event: PaymentCharged, tables: Tables) -> None:
    tables[orders].update(event.order_id, payment="charged")


@overview.on
def decline(event: PaymentDeclined, tables: Tables) -> None:
    tables[orders].update(event.order_id, payment="declined")


@overview.on
def refund(event: PaymentRefunded, tables: Tables) -> None:
    tables[orders].update(event.order_id, payment="refunded")


@delivery.query(reads=[overview])
class OrderOverview:
    """One order with its phase and payment; None if there is none."""

    order_id: str

    def run(self, view: View) -> dict[str, Any] | None:
        return view[orders].get(self.order_id)


@delivery.query(reads=[overview])
class OrdersByPhase:
    """The orders that are placed, shipped or cancelled."""

    phase: str
    limit: int = 20

    def run(self, view: View) -> list[dict[str, Any]]:
        return list(view[orders].range(("phase", "order_id"), equal=self.phase, limit=self.limit))


def where_is(system: System, order_id: str) -> str:
    """An order's phase and payment in words, as of now."""
    row = system.query(OrderOverview(order_id), consistency="strong")
    if row is None:
        return f"there is no order {order_id}"
    reason = f" ({row['reason']})" if row["reason"] else ""
    return f"order {order_id} is {row['phase']}{reason}, its payment {row['payment'] or 'not requested'}"
