"""From an order to its payment, its shipment, or the money back: the process manager of the delivering shop.

Handlers are pure: they say what is to be done. Calls of the payment gateway go through the outbox, and the
gateway's answer comes back as a command.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from actors import Do, Rejection
from actors.demo.fulfilment.domain import delivery
from actors.demo.fulfilment.gateway import current_gateway
from actors.demo.fulfilment.orders import CancelOrder, OrderCancelled, OrderPlaced
from actors.demo.fulfilment.payments import (
    ConfirmPayment,
    DeclinePayment,
    PaymentCharged,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRequested,
    PaymentStatus,
    RefundPayment,
    RequestPayment,
)
from actors.demo.fulfilment.shipments import ArrangeShipment, ShipmentArranged

PAYMENT_TIME = timedelta(minutes=15)
"""How long a payment may take before the order is cancelled."""

fulfilment = delivery.process_manager("fulfilment", key="order_id", start="beginning")


@fulfilment.state
class Fulfilment:
    """`payment` is None when there is and will be none, REQUESTED until its outcome is known."""

    order_id: str
    payment: PaymentStatus | None = PaymentStatus.REQUESTED
    cancelled: bool = False


@fulfilment.timer
class PaymentOverdue:
    order_id: str


# -- the way ahead ------------------------------------------------------------------------
@fulfilment.on
def placed(state: None, event: OrderPlaced, do: Do) -> Fulfilment:
    do.execute(RequestPayment(event.order_id, event.amount))
    do.after(PAYMENT_TIME, PaymentOverdue(event.order_id))
    return Fulfilment(event.order_id)


@fulfilment.on
def requested(state: Fulfilment, event: PaymentRequested, do: Do) -> None:
    do.effect("charge", {"order_id": event.order_id, "amount": event.amount})


@fulfilment.on
def charged(state: Fulfilment, event: PaymentCharged, do: Do) -> Fulfilment:
    do.cancel(PaymentOverdue)
    do.execute(RefundPayment(event.order_id) if state.cancelled else ArrangeShipment(event.order_id))
    return replace(state, payment=PaymentStatus.CHARGED)


@fulfilment.on
def arranged(state: Fulfilment, event: ShipmentArranged, do: Do) -> None:
    do.end()


# -- and back -----------------------------------------------------------------------------
@fulfilment.on
def declined(state: Fulfilment, event: PaymentDeclined, do: Do) -> Fulfilment:
    return without_payment(state, f"payment declined: {event.reason}", do)


@fulfilment.on_rejected
def not_requested(state: Fulfilment, rejection: Rejection[RequestPayment], do: Do) -> Fulfilment:
    return without_payment(state, rejection.text, do)


def without_payment(state: Fulfilment, reason: str, do: Do) -> Fulfilment:
    do.cancel(PaymentOverdue)
    if state.cancelled:
        do.end()
    else:
        do.execute(CancelOrder(state.order_id, reason))
    return replace(state, payment=None)


@fulfilment.on_rejected
def not_shipped(state: Fulfilment, rejection: Rejection[ArrangeShipment], do: Do) -> None:
    do.execute(CancelOrder(state.order_id, rejection.text))


@fulfilment.on_timer
def overdue(state: Fulfilment, timer: PaymentOverdue, do: Do) -> None:
    do.execute(CancelOrder(state.order_id, "not paid in time"))


@fulfilment.on_rejected
def cancelled_already(state: Fulfilment, rejection: Rejection[CancelOrder], do: Do) -> None:
    """Somebody was faster: the event of that leads on."""


@fulfilment.on
def cancelled(state: Fulfilment, event: OrderCancelled, do: Do) -> Fulfilment:
    if state.payment is None:
        do.end()
    elif state.payment is PaymentStatus.CHARGED:
        do.execute(RefundPayment(event.order_id))
    # Else the gateway has been asked: what it answers decides whether there is anything to give back.
    return replace(state, cancelled=True)


@fulfilment.on
def refunded(state: Fulfilment, event: PaymentRefunded, do: Do) -> None:
    do.effect("refund", {"order_id": event.order_id, "amount": event.amount})
    do.end()


# -- outside ------------------------------------------------------------------------------
@fulfilment.effect("charge")
def charge(payload: Any, key: str) -> ConfirmPayment | DeclinePayment:
    refusal = current_gateway().charge(key, payload["order_id"], payload["amount"])
    if refusal is None:
        return ConfirmPayment(payload["order_id"])
    return DeclinePayment(payload["order_id"], refusal)


@fulfilment.effect("refund")
def refund(payload: Any, key: str) -> None:
    current_gateway().refund(key, payload["order_id"], payload["amount"])
