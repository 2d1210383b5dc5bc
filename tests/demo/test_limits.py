"""No command of the shop leads to an event that its read models can't take."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors import InvalidMessage, Rejected, System
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
    PlaceOrder,
    RemoveFromCart,
    RepriceProduct,
    RestockProduct,
    shop,
)
from actors.demo.shop.limits import HIGHEST_PRICE, HIGHEST_QUANTITY, ID_BYTES, NAME_BYTES
from storage import CodecError, InvalidKey

NOON = datetime(2025, 3, 1, 12)
LONG_WORD = "\ufdf4" * (NAME_BYTES // 3)
"""Few characters that the index of words spells out as many."""

# Texts around the limits, of characters that take one byte, two (in a key), three, four, or grow when folded.
long_texts = st.builds(
    lambda text, times: text * times,
    st.sampled_from(["a", "\0", "\N{EURO SIGN}", "\N{GRINNING FACE}", "\ufdf4", "\u3300", "a "])
    | st.text(max_size=3),
    st.sampled_from([1, 40, ID_BYTES, ID_BYTES + 1, 66, NAME_BYTES, NAME_BYTES + 1, 400, 600]),
)
numbers = (
    st.integers(-1, 5) | st.sampled_from([HIGHEST_PRICE, HIGHEST_QUANTITY, 10**13, 1 << 4000]) | st.integers()
)
percents = st.decimals(min_value=-1, max_value=101) | st.decimals()


@st.composite
def shop_days(draw: st.DrawFn) -> list[Any]:
    """Commands about a few products, customers, carts and orders: so some find what others made."""
    pool = st.sampled_from(draw(st.lists(st.text(max_size=8) | long_texts, min_size=1, max_size=3)))
    text = pool | long_texts
    lines = st.lists(st.builds(OrderLine, pool, numbers), max_size=3).map(tuple)
    kinds = [
        st.builds(DescribeProduct, pool, text, text),
        st.builds(RepriceProduct, pool, numbers),
        st.builds(DiscountProduct, pool, percents),
        st.builds(RestockProduct, pool, numbers),
        st.builds(DiscontinueProduct, pool),
        st.builds(PlaceOrder, pool, text, st.datetimes(), lines),
        st.builds(CancelOrder, pool, text),
        st.builds(AddToCart, pool, pool, pool, numbers),
        st.builds(RemoveFromCart, pool, pool, st.none() | numbers),
        st.builds(AbandonCart, pool),
        st.builds(CheckOutCart, pool, pool, st.datetimes()),
    ]
    listed = draw(st.lists(st.builds(ListProduct, pool, text, text, numbers), min_size=1, max_size=4))
    return [*listed, *draw(st.lists(st.one_of(kinds), max_size=12))]


A, B = "a" * ID_BYTES, "b" * ID_BYTES
LIMITS = [
    ListProduct(A, "a" * NAME_BYTES, "\0" * ID_BYTES, HIGHEST_PRICE),
    DescribeProduct(A, "\0" * NAME_BYTES, "a" * 10_000),
    RestockProduct(A, HIGHEST_QUANTITY),
    PlaceOrder(B, "\0" * ID_BYTES, NOON, (OrderLine(A, HIGHEST_QUANTITY),)),
    CancelOrder(B, "a" * 10_000),
    AddToCart(B, "\0" * ID_BYTES, A, HIGHEST_QUANTITY),
    CheckOutCart(B, A, NOON),
]


@given(shop_days())
@example(LIMITS)
@example([ListProduct("lamp", "a" * 600, "x", 1)])
@example([ListProduct("lamp", LONG_WORD, "x", 1)])
def test_whatever_the_shop_is_told_no_model_stops(day: list[Any]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        System.open(Path(folder) / "store", shop, replicas=1) as system,
    ):
        for command in day:
            # Refused in time: by the shop, or by the engine as no name of a stream or no text.
            with suppress(Rejected, InvalidMessage, InvalidKey, CodecError):
                system.execute(command)
        system.wait_applied()
        assert system.health().problems == ()


def test_what_is_just_short_enough_is_taken(plain) -> None:
    assert all(plain.execute(command) for command in LIMITS)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (ListProduct(A + "a", "Lamp", "x", 1), "sku.too_long"),
        (ListProduct("lamp", "a" * NAME_BYTES + "a", "x", 1), "name.too_long"),
        (ListProduct("lamp", LONG_WORD, "x", 1), "name.too_long"),
        (ListProduct("lamp", "Lamp", B + "b", 1), "category.too_long"),
        (ListProduct("lamp", "Lamp", "x", HIGHEST_PRICE + 1), "price.too_high"),
        (DescribeProduct("lamp", "a" * 600), "name.too_long"),
        (DescribeProduct(A + "a", "Lamp"), "sku.too_long"),
        (RepriceProduct("lamp", HIGHEST_PRICE + 1), "price.too_high"),
        (RepriceProduct(A + "a", 1), "sku.too_long"),
        (DiscountProduct(A + "a", Decimal(1)), "sku.too_long"),
        (DiscountProduct("lamp", Decimal("NaN")), "discount.out_of_range"),
        (RestockProduct("lamp", HIGHEST_QUANTITY + 1), "quantity.too_high"),
        (RestockProduct(A + "a", 1), "sku.too_long"),
        (DiscontinueProduct(A + "a"), "sku.too_long"),
        (PlaceOrder(B + "b", "ada", NOON, ()), "order_id.too_long"),
        (PlaceOrder("o1", B + "b", NOON, ()), "customer.too_long"),
        (PlaceOrder("o1", "ada", NOON, (OrderLine(A + "a", 1),)), "sku.too_long"),
        (CancelOrder(B + "b"), "order_id.too_long"),
        (AddToCart(B + "b", "ada", "lamp"), "cart_id.too_long"),
        (AddToCart("c1", B + "b", "lamp"), "customer.too_long"),
        (AddToCart("c1", "ada", A + "a"), "sku.too_long"),
        (RemoveFromCart(B + "b", "lamp"), "cart_id.too_long"),
        (RemoveFromCart("c1", A + "a"), "sku.too_long"),
        (AbandonCart(B + "b"), "cart_id.too_long"),
        (CheckOutCart(B + "b", "o1", NOON), "cart_id.too_long"),
        (CheckOutCart("c1", B + "b", NOON), "order_id.too_long"),
    ],
)
def test_what_is_too_long_or_too_great_is_refused(plain, command: Any, code: str) -> None:
    assert plain.rejects(command).code == code
