from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.domain import ChangePrice, ListProduct
from benchmarks.replay.measure import NEW_ROWS, Entry, measure
from benchmarks.replay.peers import LmdbBulkLoad, OneWriterReplay, SqliteLoop
from benchmarks.replay.section import rates_rows
from benchmarks.replay.workload import EACH, expected, history


@pytest.mark.parametrize("each", [1, EACH])
@pytest.mark.parametrize("total", [0, 1, 5, 7, 1_000, 1_003, 7_919])
def test_the_expected_rows_are_those_of_the_history(total: int, each: int) -> None:
    prices: dict[str, int] = {}
    for command in history(total, each):
        if isinstance(command, ListProduct):
            assert command.sku not in prices
        else:
            assert isinstance(command, ChangePrice)
            assert prices[command.sku] != command.price
        prices[command.sku] = command.price
    assert expected(total, each) == (len(prices), sum(prices.values()))


@pytest.mark.parametrize("label", ["a peer", "a peer" + NEW_ROWS])
@pytest.mark.parametrize("make", [OneWriterReplay, SqliteLoop, LmdbBulkLoad])
def test_a_replay_fills_the_table_as_the_history_says(
    tmp_path: Path, make: type[OneWriterReplay], label: str
) -> None:
    keeps: dict[str, str] = {}
    assert measure(Entry(label, make), tmp_path, 1_003, keeps) > 0
    assert keeps == {label: make.keeps}


def test_new_rows_come_in_no_order() -> None:
    skus = [command.sku for command in history(1_000, 1)]
    assert len(set(skus)) == 1_000
    assert skus != sorted(skus)


def test_a_replay_that_leaves_rows_out_has_no_figure(tmp_path: Path) -> None:
    class Forgetful(SqliteLoop):
        def found(self) -> tuple[int, int]:
            count, total = super().found()
            return count - 1, total

    with pytest.raises(RuntimeError, match="rows and prices are"):
        measure(Entry("a peer", Forgetful), tmp_path, 100, {})


def test_ratios_are_of_one_history() -> None:
    rates = {"onewriter": [100.0], "onewriter" + NEW_ROWS: [10.0], "other" + NEW_ROWS: [20.0]}
    assert rates_rows(rates)[-1][-1] == "0.50"


def test_ratios_are_taken_within_a_round() -> None:
    rows = rates_rows({"onewriter": [100.0, 1_000.0, 10.0], "other": [50.0, 500.0, 5.0]})
    assert rows[-1] == ("other", "50", "5", "500", "2.00")
