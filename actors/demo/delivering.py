"""The part of the demo about process managers: orders that find their own way to payment, shipment or refund."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from actors import System
from actors.demo.fulfilment import (
    CancelOrder,
    MemoryGateway,
    PlaceOrder,
    StockUp,
    delivery,
    use_gateway,
    where_is,
)
from actors.demo.report import Report

__all__ = ["show_delivery"]

LIMIT = 100_000
ORDERS = (
    PlaceOrder("1", "ann", "lamp", 1, 1_999),
    PlaceOrder("2", "bob", "lamp", 1, 2 * LIMIT),
    PlaceOrder("3", "cleo", "lamp", 50, 99_950),
    PlaceOrder("4", "dan", "lamp", 1, 1_999),
)


def show_delivery(report: Report, path: Path) -> None:
    """Place orders that end in different ways, and show how each ended and the way of the first."""
    use_gateway(MemoryGateway(LIMIT))
    with System.open(path, delivery, replicas=1) as system:
        system.execute(StockUp("lamp", 10))
        for order in ORDERS:
            system.execute(order)
        cancelled = system.submit(CancelOrder("4"))
        system.wait_processes()
        report.say(
            "One order is fine, one too dear for its card, one too large for the stock, and one is cancelled"
        )
        report.say(
            "while it is on its way"
            + (", too late." if cancelled.exception() else ".")
            + " A process manager leads each to its end:"
        )
        for order in ORDERS:
            report.good(f"  {where_is(system, order.order_id)}")
        events = [one for one in system.subscribe(until=system.position) if one.stream.endswith("-1")]
        rows = [
            (
                one.type,
                f"{(one.time - events[0].time) / timedelta(milliseconds=1):.1f} ms",
                one.command_id,
            )
            for one in events
        ]
        report.table("The way of order 1", ("event", "after", "command id"), rows)
