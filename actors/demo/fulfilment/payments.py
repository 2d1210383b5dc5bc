"""Payments, one for each order: requested, then charged or declined, and possibly refunded. Pure rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum

from actors import Reader, Rejected
from actors.demo.fulfilment.domain import delivery
from actors.demo.fulfilment.orders import Order, require_open


@delivery.value
class PaymentStatus(Enum):
    REQUESTED = "requested"
    CHARGED = "charged"
    DECLINED = "declined"
    REFUNDED = "refunded"


@delivery.state(stream="payment-{order_id}")
class Payment:
    order_id: str
    amount: int
    status: PaymentStatus = PaymentStatus.REQUESTED


@delivery.event(Payment)
class PaymentRequested:
    order_id: str
    amount: int


@delivery.event(Payment)
class PaymentCharged:
    order_id: str


@delivery.event(Payment)
class PaymentDeclined:
    order_id: str
    reason: str


@delivery.event(Payment)
class PaymentRefunded:
    order_id: str
    amount: int


@delivery.command(Payment)
class RequestPayment:
    order_id: str
    amount: int


@delivery.command(Payment)
class ConfirmPayment:
    order_id: str


@delivery.command(Payment)
class DeclinePayment:
    order_id: str
    reason: str


@delivery.command(Payment)
class RefundPayment:
    order_id: str


def require_status(payment: Payment | None, order_id: str, status: PaymentStatus) -> Payment:
    """The payment if it has this status; Rejected as payment.missing, or payment. and its status."""
    if payment is None:
        raise Rejected(f"no payment of order {order_id} was requested", code="payment.missing")
    if payment.status is not status:
        raise Rejected(
            f"the payment of order {order_id} is {payment.status.value}, not {status.value}",
            code=f"payment.{payment.status.value}",
        )
    return payment


@delivery.decide
def request_payment(
    payment: Payment | None, command: RequestPayment, read: Reader
) -> Iterator[PaymentRequested]:
    if payment is not None:
        raise Rejected(f"the payment of order {command.order_id} was requested", code="payment.exists")
    require_open(read(Order, order_id=command.order_id), command.order_id)
    yield PaymentRequested(command.order_id, command.amount)


@delivery.decide
def confirm_payment(payment: Payment | None, command: ConfirmPayment) -> Iterator[PaymentCharged]:
    require_status(payment, command.order_id, PaymentStatus.REQUESTED)
    yield PaymentCharged(command.order_id)


@delivery.decide
def decline_payment(payment: Payment | None, command: DeclinePayment) -> Iterator[PaymentDeclined]:
    require_status(payment, command.order_id, PaymentStatus.REQUESTED)
    yield PaymentDeclined(command.order_id, command.reason)


@delivery.decide
def refund_payment(payment: Payment | None, command: RefundPayment) -> Iterator[PaymentRefunded]:
    paid = require_status(payment, command.order_id, PaymentStatus.CHARGED)
    yield PaymentRefunded(command.order_id, paid.amount)


@delivery.evolve
def requested(payment: None, event: PaymentRequested) -> Payment:
    return Payment(event.order_id, event.amount)


@delivery.evolve
def charged(payment: Payment, event: PaymentCharged) -> Payment:
    return replace(payment, status=PaymentStatus.CHARGED)


@delivery.evolve
def declined(payment: Payment, event: PaymentDeclined) -> Payment:
    return replace(payment, status=PaymentStatus.DECLINED)


@delivery.evolve
def refunded(payment: Payment, event: PaymentRefunded) -> Payment:
    return replace(payment, status=PaymentStatus.REFUNDED)
