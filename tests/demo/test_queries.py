"""The shop's questions, asked of a running system."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from actors import System
from actors.demo.shop import (
    BestSellingCategories,
    CancelOrder,
    Cheapest,
    CustomerOrders,
    DescribeProduct,
    DiscontinueProduct,
    DiscountProduct,
    FindProducts,
    ListProduct,
    OrderLine,
    OrderStatus,
    PlaceOrder,
    ProductDetails,
    ProductsByPrefix,
    ProductsInCategory,
    RestockProduct,
    SalesByCategory,
    SearchProducts,
    StockAlerts,
    Takings,
    shop,
)

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = date(2025, 3, 1)
PRODUCTS = [
    ("lamp", "Oak desk lamp", "lighting", 3990, 10),
    ("desk", "Oak writing desk", "tables", 34990, 3),
    ("bench", "Oak bench", "seating", 12990, 4),
    ("lantern", "Brass lantern", "lighting", 2990, 0),
    ("table", "Marble side table", "tables", 19990, 20),
]


def place(number: int, customer: str, *lines: tuple[str, int], days: int = 0) -> PlaceOrder:
    wanted = tuple(OrderLine(*line) for line in lines)
    return PlaceOrder(f"o{number}", customer, NOON + timedelta(days=days), wanted)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A shop with five products and four orders; nothing below changes it."""
    with System.open(tmp_path_factory.mktemp("shop") / "store", shop, replicas=2) as system:
        for sku, name, category, price, stock in PRODUCTS:
            system.execute(ListProduct(sku, name, category, price))
            if stock:
                system.execute(RestockProduct(sku, stock))
        system.execute_many(
            [
                place(1, "ada", ("lamp", 2), ("desk", 1)),
                place(2, "bela", ("lamp", 1), days=1),
                place(3, "ada", ("table", 2), ("lamp", 1), days=2),
                place(4, "ada", ("bench", 1), days=3),
                CancelOrder("o4"),
                DescribeProduct("table", "Marble table, oak legs", "Heavy."),
                DiscountProduct("table", Decimal(10)),
                ListProduct("stool", "Oak stool", "seating", 100),
                DiscontinueProduct("stool"),
            ]
        )
        yield system


@pytest.fixture
def ask(system: System) -> Any:
    """What a query answers, everything seen."""
    return lambda query: system.query(query, consistency="strong")


def skus(rows: list[dict[str, Any]]) -> list[str]:
    return [row["sku"] for row in rows]


def test_a_search_finds_names_with_all_the_words_the_cheapest_first(ask):
    assert skus(ask(SearchProducts("oak"))) == ["lamp", "bench", "table", "desk"]
    assert skus(ask(SearchProducts("Desk OAK"))) == ["lamp", "desk"]
    assert skus(ask(SearchProducts("oak", limit=2))) == ["lamp", "bench"]
    assert ask(SearchProducts("oak spaceship")) == []
    assert ask(SearchProducts(" ,;")) == []


def test_a_search_finds_the_new_name_and_no_longer_the_old_one(ask):
    assert skus(ask(SearchProducts("legs"))) == ["table"]
    assert ask(SearchProducts("side")) == []


def test_what_is_discontinued_is_not_offered(ask):
    assert skus(ask(Cheapest(2))) == ["lantern", "lamp"]
    assert ask(ProductDetails("stool")) is None
    assert "stool" not in skus(ask(StockAlerts()))


def test_a_category_is_searched_by_price_with_both_ends(ask):
    assert skus(ask(ProductsInCategory("lighting"))) == ["lantern", "lamp"]
    assert skus(ask(ProductsInCategory("lighting", 2990, 3989))) == ["lantern"]
    assert skus(ask(ProductsInCategory("lighting", 2991, 3990))) == ["lamp"]
    assert ask(ProductsInCategory("light")) == []


def test_names_are_found_by_their_beginning_in_order(ask):
    assert [row["name"] for row in ask(ProductsByPrefix("Oak "))] == [
        "Oak bench",
        "Oak desk lamp",
        "Oak writing desk",
    ]


def test_details_join_the_catalogue_with_the_stock(ask):
    assert ask(ProductDetails("table")) == {
        "sku": "table",
        "name": "Marble table, oak legs",
        "category": "tables",
        "price": 17991,
        "description": "Heavy.",
        "stock": 18,
    }


def test_alerts_name_what_runs_out_the_scarcest_first(ask):
    assert [(row["sku"], row["quantity"]) for row in ask(StockAlerts(5))] == [
        ("lantern", 0),
        ("desk", 2),
        ("bench", 4),
    ]


def test_sales_of_a_category_come_day_by_day(ask):
    lighting = ask(SalesByCategory("lighting", DAY, DAY + timedelta(days=1)))
    assert [(row["day"], row["quantity"], row["revenue"], row["orders"]) for row in lighting] == [
        (DAY, 2, 7980, 1),
        (DAY + timedelta(days=1), 1, 3990, 1),
    ]
    assert len(ask(SalesByCategory("lighting", DAY, date.max))) == 3


def test_categories_are_ranked_by_what_they_earned(ask):
    best = [(row["category"], row["revenue"]) for row in ask(BestSellingCategories())]
    assert best == [("tables", 34990 + 2 * 19990), ("lighting", 4 * 3990), ("seating", 0)]


def test_a_customer_sees_the_latest_order_first(ask):
    found = ask(CustomerOrders("ada", 2))
    assert [(row["order_id"], row["status"], row["total"]) for row in found] == [
        ("o4", OrderStatus.CANCELLED, 12990),
        ("o3", OrderStatus.PLACED, 2 * 19990 + 3990),
    ]
    assert found[0]["placed_at"] == NOON + timedelta(days=3)


def test_full_text_search_ranks_names_above_descriptions_and_shows_what_it_found(ask):
    found = ask(FindProducts("heavy oak"))
    assert found == [
        {
            "sku": "table",
            "name": "Marble table, [oak] legs",
            "category": "tables",
            "price": 17991,
            "excerpt": "[Heavy].",
            "score": found[0]["score"],
        }
    ]
    assert found[0]["score"] > 0
    assert sorted(skus(ask(FindProducts("oak")))) == ["bench", "desk", "lamp", "table"]
    assert len(ask(FindProducts("oak", limit=2))) == 2
    assert ask(FindProducts("oak", limit=-1)) == []


def test_full_text_search_finds_beginnings_and_follows_names(ask):
    assert skus(ask(FindProducts("oak writ"))) == ["desk"]
    assert skus(ask(FindProducts("marb"))) == ["table"]
    assert ask(FindProducts("side")) == []
    assert ask(FindProducts("stool")) == []


@pytest.mark.parametrize("text", ["", '"', "oak AND", "NEAR(", "*", "name:", "-oak OR (", "\0"])
def test_whatever_is_typed_into_the_search_is_an_answer(ask, text):
    assert isinstance(ask(FindProducts(text)), list)


def test_takings_are_those_of_the_orders_that_stand(ask):
    assert ask(Takings()) == {
        "orders": 3,
        "cancelled": 1,
        "items": 7,
        "revenue": 34990 + 2 * 19990 + 4 * 3990,
    }
