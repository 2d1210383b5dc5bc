from __future__ import annotations

from pathlib import Path

import pytest

from actors import CommandIdReused, System
from benchmarks.domain import ChangePrice, catalog, shop
from benchmarks.growth.biglog import make_store, shop_facts
from benchmarks.growth.measure import Files, Growth, Size, measure
from benchmarks.growth.section import MEMORY_RATIO, OPENING_RATIO, WORKING_RATIO, section_of, sizes_up_to
from benchmarks.replay.workload import expected, history


def test_a_store_that_was_written_straight_into_the_log_is_what_commands_would_have_made(
    tmp_path: Path,
) -> None:
    total = 500
    with System.open(tmp_path / "executed", shop, replicas=1) as system:
        system.execute_many(list(history(total)))
        system.wait_applied()
        rows = system.dump(system.replica_names[0], catalog)
        events = [(one.stream, one.version, one.event, one.command) for one in system.subscribe(until=total)]
    assert list(shop_facts(total)) == events
    make_store(tmp_path / "written", total)
    with System.open(tmp_path / "written", shop, replicas=1) as system:
        system.wait_applied()
        assert system.dump(system.replica_names[0], catalog) == rows
        found = list(system.subscribe(until=total))
        assert [(one.stream, one.version, one.event, one.command) for one in found] == events
        # It goes on like any other, and knows its command ids.
        receipt = system.execute(ChangePrice("sku-0000000", 1), expected_version=5)
        assert (receipt.position, receipt.version) == (total + 1, 6)
        with pytest.raises(CommandIdReused):
            system.execute(ChangePrice("sku-0000000", 2), command_id=found[7].command_id)
    assert (len(rows["products"]), sum(row["price"] for row in rows["products"])) == expected(total)


def test_sizes_are_powers_of_ten_and_end_with_the_largest() -> None:
    assert sizes_up_to(10_000_000, 10_000) == [10_000, 100_000, 1_000_000, 10_000_000]
    assert sizes_up_to(30_000, 10_000) == [10_000, 30_000]
    assert sizes_up_to(1_000, 1_000) == [1_000]


def size_of(events: int, opening: dict[int, float], opened: dict[int, float]) -> Size:
    return Size(
        Files(events, events // 5, events * 300, events * 80), opening, opening, opened, opened, opening
    )


def test_ratios_are_those_of_the_largest_store_within_a_round() -> None:
    growth = Growth(10)
    growth.sizes[10_000] = size_of(10_000, {0: 0.01, 1: 0.1, 2: 0.01}, {0: 100.0})
    growth.sizes[100_000] = size_of(100_000, {0: 0.01, 1: 0.1, 2: 0.01}, {0: 200.0, 1: 100.0, 2: 100.0})
    growth.sizes[1_000_000] = size_of(1_000_000, {0: 0.02, 1: 0.1, 2: 0.03}, {0: 300.0, 1: 110.0, 2: 120.0})
    growth.steady += [Files(1_000, 1_000, 300, 100), Files(2_000, 1_000, 600, 110)]
    figures = section_of(growth).figures
    assert figures[OPENING_RATIO] == pytest.approx(2.0)
    assert figures[MEMORY_RATIO] == figures[WORKING_RATIO] == pytest.approx(1.2)
    assert figures["growth/1000000/log_bytes_per_event"] == 300
    assert figures["growth/1000000/replica_bytes_per_row"] == 400
    assert figures["growth/steady/replica_ratio"] == pytest.approx(1.1)


def test_where_nobody_tells_the_memory_the_other_columns_are_there() -> None:
    growth = Growth(10, {size: size_of(size, {0: 0.01}, {}) for size in (100, 1_000)})
    growth.steady += [Files(1_000, 1_000, 300, 100)]
    found = section_of(growth)
    assert [row[4:6] for row in found.rows] == [("-", "-"), ("-", "-")]
    assert MEMORY_RATIO not in found.figures
    assert OPENING_RATIO in found.figures


def test_a_small_run_opens_each_store_in_each_round_and_leaves_the_replica_as_large_as_its_rows_need(
    tmp_path: Path,
) -> None:
    (tmp_path / "stores").mkdir()
    growth = measure(tmp_path / "stores", [100, 200], rounds=2, commands=50, updates=1_000)
    found = section_of(growth)
    assert [row[0] for row in found.rows] == ["100", "200"]
    assert all(len(row) == len(found.header) for row in found.rows)
    assert all(sorted(size.opening) == [0, 1] == sorted(size.reopened) for size in growth.sizes.values())
    assert growth.steady[-1].events == 2_000
    assert growth.steady[-1].replica < 2 * growth.steady[0].replica
    pytest.importorskip("matplotlib")
    assert [(tmp_path / draw(tmp_path)).read_text()[:5] for draw in found.plots[:1]] == ["<?xml"]
