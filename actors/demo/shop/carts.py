"""Carts: filled, emptied, abandoned, or checked out, which places an order for what is in them.

A cart reserves nothing: stock is looked at when it is checked out. Pure rules; the writer runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from enum import Enum

from actors import Reader, Rejected
from actors.demo.shop.domain import shop
from actors.demo.shop.limits import require_ids, require_quantity
from actors.demo.shop.orders import Order, OrderLine, OrderPlaced, order_exists, place
from actors.demo.shop.products import Product, StockReserved, on_sale


@shop.value
class CartStatus(Enum):
    OPEN = "open"
    ABANDONED = "abandoned"
    CHECKED_OUT = "checked out"


@shop.state(stream="cart-{cart_id}")
class Cart:
    cart_id: str
    customer: str
    lines: tuple[OrderLine, ...] = ()
    status: CartStatus = CartStatus.OPEN

    def quantity(self, sku: str) -> int:
        return sum(line.quantity for line in self.lines if line.sku == sku)


# -- events -------------------------------------------------------------------------------
@shop.event(Cart)
class CartOpened:
    cart_id: str
    customer: str


@shop.event(Cart)
class AddedToCart:
    cart_id: str
    sku: str
    quantity: int


@shop.event(Cart)
class RemovedFromCart:
    cart_id: str
    sku: str
    quantity: int


@shop.event(Cart)
class CartAbandoned:
    cart_id: str


@shop.event(Cart)
class CartCheckedOut:
    cart_id: str
    order_id: str


# -- commands -----------------------------------------------------------------------------
@shop.command(Cart)
class AddToCart:
    """Put a product into a cart; the first one opens the cart for this customer."""

    cart_id: str
    customer: str
    sku: str
    quantity: int = 1

    def validate(self) -> None:
        require_ids(cart_id=self.cart_id, customer=self.customer, sku=self.sku)
        require_quantity(self.quantity)


@shop.command(Cart)
class RemoveFromCart:
    """Take so many of a product out again, or all of it when no quantity is given."""

    cart_id: str
    sku: str
    quantity: int | None = None

    def validate(self) -> None:
        require_ids(cart_id=self.cart_id, sku=self.sku)
        if self.quantity is not None:
            require_quantity(self.quantity)


@shop.command(Cart)
class AbandonCart:
    cart_id: str

    def validate(self) -> None:
        require_ids(cart_id=self.cart_id)


@shop.command(Cart)
class CheckOutCart:
    cart_id: str
    order_id: str
    placed_at: datetime

    def validate(self) -> None:
        require_ids(cart_id=self.cart_id, order_id=self.order_id)


# -- decisions ----------------------------------------------------------------------------
def is_open(cart: Cart | None, cart_id: str) -> Cart:
    """The cart if it can still be changed; Rejected as cart.unknown or cart.closed."""
    if cart is None:
        raise Rejected(f"there is no cart {cart_id}", code="cart.unknown", cart_id=cart_id)
    if cart.status is not CartStatus.OPEN:
        raise Rejected(
            f"cart {cart_id} is {cart.status.value}",
            code="cart.closed",
            cart_id=cart_id,
            status=cart.status.value,
        )
    return cart


@shop.decide
def add_to_cart(cart: Cart | None, command: AddToCart, read: Reader) -> Iterator[CartOpened | AddedToCart]:
    on_sale(read(Product, sku=command.sku), command.sku)
    if cart is None:
        yield CartOpened(command.cart_id, command.customer)
    elif is_open(cart, command.cart_id).customer != command.customer:
        raise Rejected(
            f"cart {command.cart_id} is not {command.customer}'s",
            code="cart.foreign",
            cart_id=command.cart_id,
        )
    yield AddedToCart(command.cart_id, command.sku, command.quantity)


@shop.decide
def remove_from_cart(cart: Cart | None, command: RemoveFromCart) -> Iterator[RemovedFromCart]:
    held = is_open(cart, command.cart_id).quantity(command.sku)
    quantity = held if command.quantity is None else command.quantity
    if not 0 < quantity <= held:
        raise Rejected(
            f"cart {command.cart_id} holds {held} of {command.sku}",
            code="cart.not_in_cart",
            cart_id=command.cart_id,
            sku=command.sku,
            held=held,
        )
    yield RemovedFromCart(command.cart_id, command.sku, quantity)


@shop.decide
def abandon_cart(cart: Cart | None, command: AbandonCart) -> Iterator[CartAbandoned]:
    is_open(cart, command.cart_id)
    yield CartAbandoned(command.cart_id)


@shop.decide
def check_out_cart(
    cart: Cart | None, command: CheckOutCart, read: Reader
) -> Iterator[CartCheckedOut | OrderPlaced | StockReserved]:
    cart = is_open(cart, command.cart_id)
    if read(Order, order_id=command.order_id) is not None:
        raise order_exists(command.order_id)
    yield CartCheckedOut(command.cart_id, command.order_id)
    yield from place(command.order_id, cart.customer, command.placed_at, cart.lines, read)


# -- state --------------------------------------------------------------------------------
@shop.evolve
def opened(cart: None, event: CartOpened) -> Cart:
    return Cart(event.cart_id, event.customer)


@shop.evolve
def added(cart: Cart, event: AddedToCart) -> Cart:
    return with_quantity(cart, event.sku, cart.quantity(event.sku) + event.quantity)


@shop.evolve
def removed(cart: Cart, event: RemovedFromCart) -> Cart:
    return with_quantity(cart, event.sku, cart.quantity(event.sku) - event.quantity)


def with_quantity(cart: Cart, sku: str, quantity: int) -> Cart:
    others = tuple(line for line in cart.lines if line.sku != sku)
    return replace(cart, lines=(*others, OrderLine(sku, quantity)) if quantity else others)


@shop.evolve
def abandoned(cart: Cart, event: CartAbandoned) -> Cart:
    return replace(cart, status=CartStatus.ABANDONED)


@shop.evolve
def checked_out(cart: Cart, event: CartCheckedOut) -> Cart:
    return replace(cart, status=CartStatus.CHECKED_OUT)
