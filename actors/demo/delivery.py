"""The part of the demo about process managers: orders on their way to payment, shipment or refund.

The demo's thread places the orders and checks how they ended; a consumer's thread writes labels for parcels.
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from actors import Delivery, System
from actors.demo.fulfilment import (
    CancelOrder,
    MemoryGateway,
    OrdersByPhase,
    PlaceOrder,
    StockUp,
    delivery,
    use_gateway,
    where_is,
)
from actors.demo.report import Duration, Report
from actors.demo.tables import spread

__all__ = ["check_delivery", "show_delivery"]

LIMIT = 100_000
ORDERS = (
    PlaceOrder("1", "ann", "lamp", 1, 1_999),
    PlaceOrder("2", "bob", "lamp", 1, 2 * LIMIT),
    PlaceOrder("3", "cleo", "lamp", 50, 99_950),
    PlaceOrder("4", "dan", "lamp", 1, 1_999),
)
MORE = 200
PATIENCE = 60.0


class Labels:
    """Writes a label for every parcel; called in the consumer's thread."""

    def __init__(self) -> None:
        self._orders: Counter[str] = Counter()
        self._written = threading.Condition()

    def __call__(self, parcel: Delivery) -> None:
        with self._written:
            self._orders[parcel.event.order_id] += 1
            self._written.notify_all()

    def wait(self, count: int) -> set[str]:
        """The orders that have a label, once there are so many, or no more came in time."""
        with self._written:
            self._written.wait_for(lambda: len(self._orders) >= count, PATIENCE)
            return set(self._orders)


def more_orders() -> tuple[list[PlaceOrder], list[CancelOrder]]:
    """Orders; of ten, one is too dear, one is out of stock, and one is cancelled immediately."""
    orders, cancelled = [], []
    for number in range(10, 10 + MORE):
        kind = number % 10
        amount = 2 * LIMIT if kind == 1 else 500 + number
        orders.append(PlaceOrder(str(number), "eve", "unicorn" if kind == 2 else "bulb", 1, amount))
        if kind == 3:
            cancelled.append(CancelOrder(str(number)))
    return orders, cancelled


def show_delivery(report: Report, path: Path) -> tuple[bool, str]:
    """Place orders that end in different ways, and show how they ended and the way of the first.

    Returns whether the check found all in order, and what is to be said of it at the end.
    """
    gateway, labels = MemoryGateway(LIMIT), Labels()
    use_gateway(gateway)
    with System.open(path, delivery, replicas=1) as system:
        system.consume("labels", labels, types=["OrderShipped"])
        system.execute_many([StockUp("lamp", 10), StockUp("bulb", MORE)])
        for order in ORDERS:
            system.execute(order)
        too_late = system.submit(CancelOrder("4"))
        system.wait_process_managers(PATIENCE)
        report.say(
            "One order is fine, one too dear for its card, one too large for the stock, and one is cancelled"
        )
        report.say(
            "while it is on its way"
            + (", too late." if too_late.exception() else ".")
            + " A process manager leads each to its end:"
        )
        for order in ORDERS:
            report.good(f"  {where_is(system, order.order_id)}")
        _show_way(report, system)
        orders, cancelled = more_orders()
        # Some cancellations come too late, as some do.
        wait([system.submit(one) for one in (*orders, *cancelled)], PATIENCE)
        system.wait_process_managers(PATIENCE)
        _show_ends(report, system)
        wrong, text = check_delivery(system, gateway, labels.wait(len(_rows(system, "shipped"))))
    for line in wrong:
        report.bad(f"WRONG: {line}")
    return not wrong, text


def _show_way(report: Report, system: System) -> None:
    events = [one for one in system.subscribe(until=system.position) if one.stream.endswith("-1")]
    rows = [
        (one.type, Duration((one.time - events[0].time).total_seconds()), one.command_id) for one in events
    ]
    report.table("The way of order 1", ("event", "after", "command id"), rows)


def _show_ends(report: Report, system: System) -> None:
    """What became of all orders, and how long the way to the end took."""
    began, ended, seconds = {}, {}, []
    for one in system.subscribe(until=system.position, category="order"):
        if one.type == "OrderPlaced":
            began[one.stream] = one.time
        else:
            ended[one.stream] = one.time
            seconds.append((one.time - began[one.stream]).total_seconds())
    ends = Counter(
        (row["phase"], row["payment"] or "not requested")
        for phase in ("placed", "shipped", "cancelled")
        for row in _rows(system, phase)
    )
    report.table(
        f"How {len(began):,} orders ended; {MORE} of them were placed at once",
        ("order, payment", "orders"),
        [(f"{phase}, {payment}", count) for (phase, payment), count in ends.most_common()],
    )
    (manager,) = system.process_managers()
    p50, p99, _ = spread(seconds)
    report.table(
        f"The process manager {manager.name!r}",
        ("", ""),
        (
            ("inputs handled, up to position", manager.position),
            ("from an order to its end, p50", p50),
            ("from an order to its end, p99", p99),
            ("instances left", manager.instances),
            ("effects left to deliver, or given up", manager.effects + manager.parked),
        ),
    )


def _rows(system: System, phase: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = system.query(OrdersByPhase(phase, 10 * MORE), consistency="strong")
    return rows


def check_delivery(system: System, gateway: MemoryGateway, labels: set[str]) -> tuple[list[str], str]:
    """What is not as it should be, in lines, and all of it in one: the gateway's books against the orders."""
    placed, shipped, cancelled = (_rows(system, phase) for phase in ("placed", "shipped", "cancelled"))
    charged = Counter(order for order, _ in gateway.charges.values())
    refunded = Counter(order for order, _ in gateway.refunds.values())
    held = sum(amount for _, amount in gateway.charges.values())
    held -= sum(amount for _, amount in gateway.refunds.values())
    worth = sum(row["amount"] for row in shipped)
    sent = {row["order_id"] for row in shipped}
    wrong = [f"order {row['order_id']} came to no end" for row in placed]
    wrong += [
        f"order {order} was {what} {count} times"
        for what, book in (("charged", charged), ("refunded", refunded))
        for order, count in book.items()
        if count > 1
    ]
    if held != worth:
        wrong.append(f"the gateway holds {held} cents, and what was shipped costs {worth}")
    if sent != labels:
        wrong.append(f"{len(sent ^ labels)} orders are shipped without a label, or have one and are not")
    if system.effects("fulfilment"):
        wrong.append(f"{len(system.effects('fulfilment'))} effects are not delivered")
    text = (
        f"process manager: of {len(shipped) + len(cancelled) + len(placed)} orders {len(shipped)} were "
        f"shipped, {len(cancelled)} cancelled, {len(refunded)} of these refunded; the gateway holds what was "
        f"shipped, to the cent, and a consumer wrote {len(labels)} labels"
    )
    return wrong, text
