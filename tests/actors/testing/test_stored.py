"""Events as an older program stored them, for tests of a domain with upcasters."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest

from actors import (
    CodecError,
    Domain,
    InvalidMessage,
    Stored,
    StoredEnum,
    StoredValue,
    UnknownType,
    UpcastFailed,
)
from actors.testing import given, given_process_manager, happened

shop = Domain("shop")


@shop.enum
class Size(Enum):
    SMALL = 1
    LARGE = 2


@shop.value(formerly="Price")
class Money:
    amount: int
    currency: str


@shop.state(stream="item-{sku}")
class Item:
    sku: str
    price: Any = None


@shop.event(Item, formerly="PriceSet")
class PriceChanged:
    sku: str
    price: Money
    size: Size = Size.SMALL


@shop.event(Item, state=None)
class Sold:
    sku: str
    count: int


@shop.event(Item, state=None, tags="low")
class StockLow:
    sku: str


@shop.event(state=None)
class Heard:
    text: str


@shop.evolve
def priced(item: Item | None, event: PriceChanged) -> Item:
    return Item(event.sku, event.price)


@shop.upcast("PriceChanged")
def with_money(fields: Any) -> Any:
    return {**fields, "price": Money(fields["price"], "EUR")}


@shop.upcast(PriceChanged, 2)
def in_cents(fields: Any) -> Any:
    return {**fields, "price": Money(fields["price"].amount * 100, fields["price"].currency)}


@shop.upcast(Money)
def with_currency(fields: Any) -> Any:
    return {**fields, "currency": "EUR"}


@shop.upcast("Size")
def spelt_out(member: str) -> str:
    return {"S": "SMALL", "L": "LARGE"}.get(member, member)


@shop.upcast("Moved", gone=True)
def moved(fields: Any) -> Any:
    if not fields["count"]:
        return []
    return [Stored("Sold", dict(fields)), Stored("StockLow", {"sku": fields["sku"]})]


clerk = shop.process_manager("clerk", key="sku", start="beginning")


@clerk.state
class Seen:
    counts: tuple[int, ...] = ()


@clerk.on(Sold)
def on_sold(state: Seen | None, event: Sold, do: Any) -> Seen:
    return Seen((*(state.counts if state else ()), event.count))


def events(*stored: Any) -> list[Any]:
    return [one.event for one in given(shop, *stored).recorded]


def test_stored_fields_of_each_version_go_through_the_upcasters_from_there_on() -> None:
    expected = [PriceChanged("tea", Money(200, "EUR"))]
    assert events(Stored("PriceChanged", {"sku": "tea", "price": 2})) == expected
    assert events(Stored("PriceSet", {"sku": "tea", "price": 2})) == expected
    assert events(Stored("PriceChanged", {"sku": "tea", "price": Money(2, "EUR")}, 2)) == expected
    assert events(Stored("PriceChanged", {"sku": "tea", "price": Money(200, "EUR")}, 3)) == expected
    assert given(shop, Stored("PriceSet", {"sku": "tea", "price": 2})).state(Item, "tea").price == Money(
        200, "EUR"
    )


def test_values_and_enums_may_be_as_an_older_program_stored_them() -> None:
    price = StoredValue("Price", {"amount": 2})
    stored = Stored("PriceSet", {"sku": "tea", "price": price, "size": StoredEnum("Size", ("L",))}, 2)
    assert events(stored) == [PriceChanged("tea", Money(200, "EUR"), Size.LARGE)]


def test_an_event_may_become_several_or_none_among_others() -> None:
    with_others = events(
        Sold("tea", 1), Stored("Moved", {"sku": "tea", "count": 2}), Stored("Moved", {"count": 0})
    )
    assert with_others == [Sold("tea", 1), Sold("tea", 2), StockLow("tea")]


def test_it_has_the_time_the_metadata_and_the_stream_that_it_is_given() -> None:
    noon = datetime(2024, 7, 1, 12, tzinfo=UTC)
    [one] = given(
        shop, happened(Stored("Heard", {"text": "a"}), stream="wall", time=noon, metadata={"by": "ann"})
    ).recorded
    assert (one.stream, one.event, one.time, one.metadata) == ("wall", Heard("a"), noon, {"by": "ann"})
    with pytest.raises(InvalidMessage, match="Heard has no stream of its own"):
        given(shop, Stored("Heard", {"text": "a"}))


def test_a_process_manager_gets_them_too() -> None:
    stored = [Stored("Sold", {"sku": "tea", "count": 3}), Sold("tea", 1)]
    assert given_process_manager(clerk, stored).state == Seen((3, 1))


@pytest.mark.parametrize(
    ("stored", "error", "text"),
    [
        (Stored("Nothing", {}), UnknownType, "'Nothing'"),
        (Stored("Sold", {"sku": "tea"}), CodecError, "cannot be built from its fields sku"),
        (Stored("Sold", {"sku": "tea", "count": 1}, 2), UnknownType, "has no version 2 here"),
        (
            Stored("PriceSet", {"sku": "tea", "price": "x"}, 2),
            UpcastFailed,
            "upcaster in_cents of PriceChanged",
        ),
        (Stored("Sold", {"sku": "tea", "count": "many"}), InvalidMessage, "Sold.count must be int"),
    ],
)
def test_what_does_not_fit_is_the_error_of_the_log(stored: Stored, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        given(shop, stored)
