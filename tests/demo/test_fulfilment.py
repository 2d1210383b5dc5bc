"""The delivering shop: its process manager handler by handler, and every way that an order can end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from actors import Rejected, Rejection
from actors.demo.fulfilment import (
    PAYMENT_TIME,
    ArrangeShipment,
    CancelOrder,
    ConfirmPayment,
    DeclinePayment,
    MemoryGateway,
    OrdersByPhase,
    PlaceOrder,
    RefundPayment,
    RequestPayment,
    StockUp,
    delivery,
    fulfilment,
    use_gateway,
    where_is,
)
from actors.demo.fulfilment.orders import OrderCancelled, OrderPlaced
from actors.demo.fulfilment.payments import (
    PaymentCharged,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRequested,
)
from actors.demo.fulfilment.process import PaymentOverdue
from actors.demo.fulfilment.shipments import ShipmentArranged
from actors.testing import TestSystem, given_process_manager, open_system
from tests.helpers import wait_until

PLACED = OrderPlaced("1", "ann", "lamp", 1, 500)
REQUESTED = PaymentRequested("1", 500)
CHARGED = PaymentCharged("1")
CANCELLED = OrderCancelled("1", "by the customer")


# -- the process ---------------------------------------------------------------------------------
def test_an_order_leads_to_its_payment_and_the_payment_to_the_shipment() -> None:
    placed = given_process_manager(fulfilment).when(PLACED)
    placed.then(RequestPayment("1", 500)).then_timers(PaymentOverdue("1"))
    given_process_manager(fulfilment, PLACED).when(REQUESTED).then().then_effects(
        ("charge", {"order_id": "1", "amount": 500})
    )
    given_process_manager(fulfilment, PLACED, REQUESTED).when(CHARGED).then(
        ArrangeShipment("1")
    ).then_timers()
    given_process_manager(fulfilment, PLACED, CHARGED).when(ShipmentArranged("1")).then().then_state(None)


def test_a_declined_or_overdue_payment_cancels_the_order() -> None:
    declined = PaymentDeclined("1", "no cover")
    given_process_manager(fulfilment, PLACED).when(declined).then(
        CancelOrder("1", "payment declined: no cover")
    )
    given_process_manager(fulfilment, PLACED).when(PaymentOverdue("1")).then(
        CancelOrder("1", "not paid in time")
    )
    given_process_manager(fulfilment, PLACED, declined).when(CANCELLED).then().then_state(None)


def test_what_can_not_be_shipped_is_cancelled_and_refunded() -> None:
    short = Rejection(ArrangeShipment("1"), "stock.insufficient", "too little")
    outcome = (
        given_process_manager(fulfilment, PLACED, CHARGED).when(short).then(CancelOrder("1", "too little"))
    )
    refund = outcome.after.when(CANCELLED).then(RefundPayment("1"))
    refund.after.when(PaymentRefunded("1", 500)).then_effects(
        ("refund", {"order_id": "1", "amount": 500})
    ).then_state(None)


def test_a_payment_that_comes_after_the_cancellation_is_refunded() -> None:
    given_process_manager(fulfilment, PLACED, REQUESTED, CANCELLED).when(CHARGED).then(RefundPayment("1"))


def test_a_payment_that_is_refused_since_the_order_is_cancelled_ends_with_that_event() -> None:
    refused = Rejection(RequestPayment("1", 500), "order.cancelled", "cancelled")
    given_process_manager(fulfilment, PLACED, CANCELLED).when(refused).then().then_state(None)
    given_process_manager(fulfilment, PLACED, refused).when(CANCELLED).then().then_state(None)


def test_a_claim_that_does_not_hold_shows_the_difference() -> None:
    with pytest.raises(AssertionError, match="leads to other commands"):
        given_process_manager(fulfilment).when(PLACED).then(RequestPayment("1", 501))
    with pytest.raises(AssertionError, match="is not set"):
        given_process_manager(fulfilment, PLACED, CHARGED).when(PaymentOverdue("1"))
    with pytest.raises(AssertionError, match="for the instance '2'"):
        given_process_manager(fulfilment, PLACED).when(PaymentCharged("2"))


# -- the shop ------------------------------------------------------------------------------------
class LostGateway(MemoryGateway):
    """A gateway that does not answer."""

    def charge(self, key: str, order_id: str, amount: int) -> str | None:
        raise ConnectionError("no answer")


@pytest.fixture
def gateway() -> MemoryGateway:
    gateway = MemoryGateway(limit=1_000)
    use_gateway(gateway)
    return gateway


@pytest.fixture
def shop(gateway: MemoryGateway) -> Iterator[TestSystem]:
    with open_system(delivery) as system:
        system.execute(StockUp("lamp", 10))
        yield system


def order(shop: TestSystem, order_id: str, quantity: int = 1, amount: int = 500) -> None:
    shop.execute(PlaceOrder(order_id, "ann", "lamp", quantity, amount))
    shop.wait_process_managers()


def test_an_order_is_paid_and_shipped(shop: TestSystem, gateway: MemoryGateway) -> None:
    order(shop, "1")
    assert where_is(shop, "1") == "order 1 is shipped, its payment charged"
    assert list(gateway.charges.values()) == [("1", 500)]
    with pytest.raises(Rejected, match="is shipped"):
        shop.execute(CancelOrder("1"))
    assert [row["order_id"] for row in shop.query(OrdersByPhase("shipped"))] == ["1"]


def test_a_declined_order_is_cancelled_unpaid(shop: TestSystem, gateway: MemoryGateway) -> None:
    order(shop, "1", amount=5_000)
    assert where_is(shop, "1") == (
        "order 1 is cancelled (payment declined: more than 1000 cents), its payment declined"
    )
    assert not gateway.charges


def test_an_order_that_is_out_of_stock_gets_its_money_back(shop: TestSystem, gateway: MemoryGateway) -> None:
    order(shop, "1", quantity=11)
    assert where_is(shop, "1") == (
        "order 1 is cancelled (too little of lamp for order 1), its payment refunded"
    )
    assert list(gateway.refunds.values()) == [("1", 500)]


def test_an_order_that_is_not_paid_in_time_is_cancelled_and_refunded_if_the_money_comes_later(
    shop: TestSystem,
) -> None:
    use_gateway(LostGateway())
    shop.execute(PlaceOrder("1", "ann", "lamp", 1, 500))
    shop.execute(PlaceOrder("2", "ann", "lamp", 1, 500))
    wait_until(lambda: all(shop.stream(f"payment-{one}") for one in "12"))
    shop.advance(PAYMENT_TIME)
    wait_until(lambda: all(len(shop.stream(f"order-{one}")) == 2 for one in "12"))
    use_gateway(MemoryGateway())
    shop.wait_process_managers(20)
    assert where_is(shop, "1") == "order 1 is cancelled (not paid in time), its payment refunded"
    assert shop.process_manager_states("fulfilment") == []


def test_orders_cancelled_at_once_end_without_a_payment_or_with_a_refund(
    shop: TestSystem, gateway: MemoryGateway
) -> None:
    for number in range(50):
        shop.execute(PlaceOrder(str(number), "ann", "lamp", 1, 500))
        # One that is shipped already stays so.
        with suppress(Rejected):
            shop.execute(CancelOrder(str(number)))
    shop.wait_process_managers(20)
    assert shop.process_manager_states("fulfilment") == []
    ends = {where_is(shop, str(number)).partition(" is ")[2] for number in range(50)}
    assert ends <= {
        "shipped, its payment charged",
        "cancelled (by the customer), its payment refunded",
        "cancelled (by the customer), its payment declined",
        "cancelled (by the customer), its payment not requested",
    }
    refunded = {order_id for order_id, _ in gateway.refunds.values()}
    charged = {order_id for order_id, _ in gateway.charges.values()}
    shipped = {row["order_id"] for row in shop.query(OrdersByPhase("shipped", 100))}
    assert charged == refunded | shipped
    assert not refunded & shipped


def test_what_the_gateway_says_counts_once(shop: TestSystem) -> None:
    order(shop, "1")
    with pytest.raises(Rejected) as refused:
        shop.execute(ConfirmPayment("1"))
    assert refused.value.code == "payment.charged"
    with pytest.raises(Rejected):
        shop.execute(DeclinePayment("1", "late"))
