from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.domain import ChangePrice, ListProduct
from benchmarks.replay.__main__ import Entry, measure, rates_table
from benchmarks.replay.peers import OneWriterReplay, SqliteLoop
from benchmarks.replay.workload import expected, history


@pytest.mark.parametrize("total", [0, 1, 5, 7, 1_000, 1_003])
def test_the_expected_rows_are_those_of_the_history(total: int) -> None:
    prices: dict[str, int] = {}
    for command in history(total):
        if isinstance(command, ListProduct):
            assert command.sku not in prices
        else:
            assert isinstance(command, ChangePrice)
            assert prices[command.sku] != command.price
        prices[command.sku] = command.price
    assert expected(total) == (len(prices), sum(prices.values()))


@pytest.mark.parametrize("make", [OneWriterReplay, SqliteLoop])
def test_a_replay_fills_the_table_as_the_history_says(tmp_path: Path, make: type[OneWriterReplay]) -> None:
    keeps: dict[str, str] = {}
    assert measure(Entry("a peer", make), tmp_path, 1_003, keeps) > 0
    assert keeps == {"a peer": make.keeps}


def test_a_replay_that_leaves_rows_out_has_no_figure(tmp_path: Path) -> None:
    class Forgetful(SqliteLoop):
        def found(self) -> tuple[int, int]:
            count, total = super().found()
            return count - 1, total

    with pytest.raises(RuntimeError, match="rows and prices are"):
        measure(Entry("a peer", Forgetful), tmp_path, 100, {})


def test_ratios_are_taken_within_a_round() -> None:
    table = rates_table({"onewriter": [100.0, 1_000.0, 10.0], "other": [50.0, 500.0, 5.0]})
    assert table.splitlines()[-1] == "| other | 50 | 5 | 500 | 2.00 |"
