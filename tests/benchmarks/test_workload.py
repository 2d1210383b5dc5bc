from __future__ import annotations

import pytest

from benchmarks.domain import ChangePrice, ListProduct
from benchmarks.workload import PRODUCTS, lookups, right_answers, shares


@pytest.mark.parametrize("callers", [1, 32, 64])
def test_the_callers_together_send_as_many_commands_as_were_asked_for(callers: int) -> None:
    assert sum(map(len, shares(callers, 1_510))) == 1_510


def test_each_product_is_listed_once_and_before_it_is_repriced_by_the_same_caller() -> None:
    listed: set[str] = set()
    for share in shares(64, 3_000):
        own: set[str] = set()
        for command in share:
            if isinstance(command, ListProduct):
                assert command.sku not in listed
                own.add(command.sku)
                listed.add(command.sku)
            else:
                assert command.sku in own
    assert len(listed) == PRODUCTS


def test_every_reprice_changes_the_price() -> None:
    prices: dict[str, int] = {}
    for command in shares(1, 5_000)[0]:
        if isinstance(command, ChangePrice):
            assert prices[command.sku] != command.price
        prices[command.sku] = command.price


def test_look_ups_go_over_all_products_and_their_ranges_are_full() -> None:
    look = lookups(PRODUCTS)
    assert len(set(look.skus)) == PRODUCTS
    rows = right_answers(look, "range")
    assert [len(answer) for answer in rows] == [10] * PRODUCTS
    assert right_answers(look, "row")[1] == {
        "sku": "sku-00617",
        "name": "Product number 617",
        "price": 1_617,
    }


def test_sums_are_over_as_many_products_as_are_said() -> None:
    look = lookups(PRODUCTS)
    assert right_answers(look, "sum")[0] == sum(1_000 + number for number in range(100))
    assert max(look.prices) + 100 <= 1_000 + PRODUCTS
