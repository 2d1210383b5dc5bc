"""The shop's rules and projections, without threads and files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.demo import comparison
from actors.demo.comparison import PlainModel
from actors.demo.shop import (
    AbandonCart,
    AddToCart,
    CancelOrder,
    CheckOutCart,
    DescribeProduct,
    DiscontinueProduct,
    DiscountProduct,
    ListProduct,
    OrderLine,
    OrderStatus,
    PlaceOrder,
    RemoveFromCart,
    RepriceProduct,
    RestockProduct,
    models,
    shop,
)
from actors.demo.shop.carts import AddedToCart, Cart, CartCheckedOut, CartOpened
from actors.demo.shop.orders import Order, OrderPlaced, SoldLine
from actors.demo.shop.products import Product, ProductRepriced, StockReleased, StockReserved
from storage import DamagedStore

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
LISTED = (
    ListProduct("lamp", "Desk lamp", "lighting", 1999),
    RestockProduct("lamp", 5),
    ListProduct("desk", "Oak desk", "tables", 49900),
    RestockProduct("desk", 2),
)


def order(*lines: tuple[str, int], order_id: str = "o1", customer: str = "ada") -> PlaceOrder:
    return PlaceOrder(order_id, customer, NOON, tuple(OrderLine(*line) for line in lines))


def fold(events: list[Any]) -> dict[str, dict[Any, dict[str, Any]]]:
    """Rows of every table by key, as the projections leave them."""
    folded = [PlainModel(model) for model in shop.declarations.read_models]
    for event in events:
        for model in folded:
            model.apply_event(event)
    for model in folded:
        model.close()
    return {table.name: rows.rows for model in folded for table, rows in model.tables.items()}


def test_a_log_with_a_gap_is_told_and_no_database_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[PlainModel] = []
    close = PlainModel.close
    monkeypatch.setattr(PlainModel, "close", lambda model: (closed.append(model), close(model)))
    with pytest.raises(DamagedStore, match="no event at position 1: 2 comes next"):
        comparison.fold(shop.declarations.read_models, [cast(Any, SimpleNamespace(position=2))])
    assert len(closed) == len(shop.declarations.read_models)


# -- products -----------------------------------------------------------------------------
def test_a_product_is_listed_once(plain):
    plain.execute(*LISTED)
    assert plain.rejects(LISTED[0]).code == "product.exists"
    assert plain.read(Product, sku="lamp") == Product("lamp", "Desk lamp", "lighting", 1999, stock=5)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (ListProduct("chair", " ", "seating", 100), "name.empty"),
        (ListProduct("chair", "Chair", "seating", 0), "price.not_positive"),
        (RepriceProduct("lamp", -1), "price.not_positive"),
        (RestockProduct("lamp", 0), "quantity.not_positive"),
        (DiscountProduct("lamp", Decimal(100)), "discount.out_of_range"),
        (RepriceProduct("chair", 100), "product.unknown"),
        (DescribeProduct("chair", "Chair"), "product.unknown"),
        (order(("lamp", 0)), "quantity.not_positive"),
    ],
)
def test_what_makes_no_sense_is_rejected(plain, command, code):
    plain.execute(*LISTED)
    assert plain.rejects(command).code == code


def test_the_same_price_or_description_again_is_no_event(plain):
    plain.execute(*LISTED)
    assert plain.execute(RepriceProduct("lamp", 1999)) == []
    assert plain.execute(DescribeProduct("lamp", "Desk lamp", "")) == []


def test_a_discount_is_rounded_to_the_cent_and_never_free(plain):
    plain.execute(*LISTED, ListProduct("pin", "Pin", "stationery", 1))
    assert plain.execute(DiscountProduct("lamp", Decimal("12.5"))) == [ProductRepriced("lamp", 1749)]
    assert plain.execute(DiscountProduct("pin", Decimal("99"))) == []


def test_a_discontinued_product_takes_no_more_commands(plain):
    plain.execute(*LISTED, DiscontinueProduct("lamp"))
    for command in (RepriceProduct("lamp", 5), RestockProduct("lamp", 5), order(("lamp", 1))):
        assert plain.rejects(command).code == "product.discontinued"


# -- orders -------------------------------------------------------------------------------
def test_an_order_reserves_stock_of_each_of_its_products(plain):
    plain.execute(*LISTED)
    assert plain.execute(order(("lamp", 2), ("desk", 1), ("lamp", 1))) == [
        OrderPlaced(
            "o1", "ada", NOON, (SoldLine("lamp", "lighting", 3, 1999), SoldLine("desk", "tables", 1, 49900))
        ),
        StockReserved("lamp", "o1", 3),
        StockReserved("desk", "o1", 1),
    ]
    assert (plain.read(Product, sku="lamp").stock, plain.read(Product, sku="desk").stock) == (2, 1)


def test_an_order_that_finds_too_little_says_of_what(plain):
    plain.execute(*LISTED)
    rejection = plain.rejects(order(("lamp", 3), ("desk", 3), ("lamp", 3)))
    assert rejection.code == "stock.insufficient"
    assert rejection.details["short"] == {
        "lamp": {"wanted": 6, "available": 5},
        "desk": {"wanted": 3, "available": 2},
    }
    assert "lamp (wanted 6, available 5)" in str(rejection)


def test_an_order_is_rejected_for_an_unknown_product_for_no_lines_and_for_a_used_number(plain):
    plain.execute(*LISTED, order(("lamp", 1)))
    assert plain.rejects(order(("chair", 1), order_id="o2")).details == {"sku": "chair"}
    assert plain.rejects(order(order_id="o2")).code == "order.empty"
    assert plain.rejects(order(("lamp", 1))).code == "order.exists"


def test_cancelling_an_order_releases_its_stock_once(plain):
    plain.execute(*LISTED, order(("lamp", 4), ("desk", 1)))
    events = plain.execute(CancelOrder("o1", "too late"))
    assert events[1:] == [StockReleased("lamp", "o1", 4), StockReleased("desk", "o1", 1)]
    assert plain.read(Product, sku="lamp").stock == 5
    assert plain.read(Order, order_id="o1").status is OrderStatus.CANCELLED
    assert plain.rejects(CancelOrder("o1")).code == "order.cancelled"
    assert plain.rejects(CancelOrder("o2")).code == "order.unknown"


# -- carts --------------------------------------------------------------------------------
def test_the_first_product_opens_a_cart(plain):
    plain.execute(*LISTED)
    assert plain.execute(AddToCart("c1", "ada", "lamp", 2)) == [
        CartOpened("c1", "ada"),
        AddedToCart("c1", "lamp", 2),
    ]
    assert plain.execute(AddToCart("c1", "ada", "lamp")) == [AddedToCart("c1", "lamp", 1)]
    assert plain.read(Cart, cart_id="c1").lines == (OrderLine("lamp", 3),)
    assert plain.rejects(AddToCart("c1", "bela", "lamp")).code == "cart.foreign"
    assert plain.rejects(AddToCart("c1", "ada", "chair")).code == "product.unknown"


def test_products_are_taken_out_of_a_cart_in_part_or_whole(plain):
    plain.execute(*LISTED, AddToCart("c1", "ada", "lamp", 3), RemoveFromCart("c1", "lamp", 1))
    assert plain.read(Cart, cart_id="c1").quantity("lamp") == 2
    assert plain.rejects(RemoveFromCart("c1", "lamp", 3)).details["held"] == 2
    plain.execute(RemoveFromCart("c1", "lamp"))
    assert plain.read(Cart, cart_id="c1").lines == ()
    assert plain.rejects(RemoveFromCart("c1", "lamp")).code == "cart.not_in_cart"


def test_checking_out_turns_a_cart_into_an_order(plain):
    plain.execute(*LISTED, AddToCart("c1", "ada", "lamp", 3))
    events = plain.execute(CheckOutCart("c1", "o1", NOON))
    assert events == [
        CartCheckedOut("c1", "o1"),
        OrderPlaced("o1", "ada", NOON, (SoldLine("lamp", "lighting", 3, 1999),)),
        StockReserved("lamp", "o1", 3),
    ]
    assert plain.rejects(CheckOutCart("c1", "o2", NOON)).code == "cart.closed"
    assert plain.rejects(AddToCart("c1", "ada", "lamp")).details["status"] == "checked out"


def test_a_checkout_that_is_rejected_leaves_the_cart_open(plain):
    plain.execute(*LISTED, order(("lamp", 1)), AddToCart("c1", "ada", "lamp", 9))
    assert plain.rejects(CheckOutCart("c1", "o1", NOON)).code == "order.exists"
    assert plain.rejects(CheckOutCart("c1", "o2", NOON)).code == "stock.insufficient"
    plain.execute(RemoveFromCart("c1", "lamp"))
    assert plain.rejects(CheckOutCart("c1", "o2", NOON)).code == "order.empty"
    assert plain.rejects(CheckOutCart("c2", "o2", NOON)).code == "cart.unknown"


def test_an_abandoned_cart_is_closed(plain):
    plain.execute(*LISTED, AddToCart("c1", "ada", "lamp"), AbandonCart("c1"))
    assert plain.rejects(CheckOutCart("c1", "o1", NOON)).details["status"] == "abandoned"


# -- read models --------------------------------------------------------------------------
def test_the_catalogue_follows_name_and_price_and_drops_what_is_discontinued(plain):
    plain.execute(
        *LISTED,
        DescribeProduct("lamp", "Brass lamp", "Bright."),
        RepriceProduct("lamp", 2500),
        DiscontinueProduct("desk"),
    )
    assert fold(plain.events)["products"] == {
        ("lamp",): {
            "sku": "lamp",
            "name": "Brass lamp",
            "category": "lighting",
            "price": 2500,
            "description": "Bright.",
        }
    }


def test_stock_levels_follow_orders_and_outlive_the_sale(plain):
    plain.execute(*LISTED, order(("lamp", 4), ("desk", 1)), DiscontinueProduct("desk"), CancelOrder("o1"))
    levels = fold(plain.events)["levels"]
    assert levels[("lamp",)] == {"sku": "lamp", "name": "Desk lamp", "quantity": 5, "sold": True}
    assert levels[("desk",)] == {"sku": "desk", "name": "Oak desk", "quantity": 2, "sold": False}


def test_sales_are_counted_by_category_and_day_and_taken_back_when_cancelled(plain):
    plain.execute(
        *LISTED, order(("lamp", 2), ("desk", 1)), order(("lamp", 1), order_id="o2"), CancelOrder("o1")
    )
    tables = fold(plain.events)
    day = date(2025, 3, 1)
    assert tables["by_day"] == {
        ("lighting", day): {"category": "lighting", "day": day, "quantity": 1, "revenue": 1999, "orders": 1},
        ("tables", day): {"category": "tables", "day": day, "quantity": 0, "revenue": 0, "orders": 0},
    }
    assert tables["by_category"][("lighting",)] == {
        "category": "lighting",
        "quantity": 1,
        "revenue": 1999,
        "orders": 1,
    }


def test_a_customers_orders_keep_their_total_and_status(plain):
    plain.execute(*LISTED, order(("lamp", 2), ("desk", 1)), CancelOrder("o1"))
    assert fold(plain.events)["orders"] == {
        ("o1",): {
            "order_id": "o1",
            "customer": "ada",
            "placed_at": NOON,
            "items": 3,
            "total": 2 * 1999 + 49900,
            "status": OrderStatus.CANCELLED,
        }
    }
    assert models.orders.tables == [models.placed_orders]
