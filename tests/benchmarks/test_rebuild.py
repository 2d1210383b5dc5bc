from __future__ import annotations

from pathlib import Path

from actors import System
from benchmarks.domain import ChangePrice, ListProduct, PricedFrom, ProductBySku, shop
from benchmarks.durations import Spread
from benchmarks.rebuild.answers import DEAR, LENGTH, Answers, changes, is_right
from benchmarks.rebuild.measure import PHASES, measure
from benchmarks.rebuild.section import latency_rows
from benchmarks.replay.workload import EACH, history

EVENTS = 100 * EACH


def test_the_right_answers_are_what_the_history_leaves() -> None:
    rows: dict[str, dict[str, object]] = {}
    for command in history(EVENTS):
        if isinstance(command, ListProduct):
            rows[command.sku] = {"sku": command.sku, "name": command.name, "price": command.price}
        else:
            rows[command.sku]["price"] = command.price
    ordered = sorted(rows.values(), key=lambda row: (row["price"], row["sku"]))
    answers = Answers(EVENTS)
    for number in range(300):
        query, right = answers.asked(number)
        if isinstance(query, ProductBySku):
            assert right == rows[query.sku]
        else:
            assert right == [row for row in ordered if row["price"] >= query.price][:LENGTH]


def test_half_a_model_gives_wrong_answers() -> None:
    answers = Answers(EVENTS)
    _, row = answers.asked(1)
    _, rows = answers.asked(2)
    assert is_right(row, row)
    assert not is_right(None, row)
    assert not is_right({**row, "price": row["price"] + 1}, row)
    assert not is_right(rows[1:], rows)
    assert is_right([*rows[:2], {"sku": "dear-1", "name": "", "price": DEAR}], rows[:2])


def test_what_changes_meanwhile_is_in_no_range_of_the_others() -> None:
    commands = changes()
    listed = [next(commands) for _ in range(30)]
    assert all(command.price >= DEAR for command in listed)
    assert {command.sku for command in listed if isinstance(command, ChangePrice)} == {
        command.sku for command in listed if isinstance(command, ListProduct)
    }


def test_a_rebuild_under_load_has_a_figure_for_each_phase_and_every_answer_is_right(tmp_path: Path) -> None:
    with System.open(tmp_path / "shop", shop, replicas=2) as system:
        system.execute_many(list(history(EVENTS)))
        system.wait_applied()
        took, load = measure(system, Answers(EVENTS), 200.0, 0.2)
        assert system.rebuilds() == ()
        assert system.query(PricedFrom(DEAR, 1), after=load.last)
    assert took > 0
    assert load.failed == []
    assert load.wrong == []
    assert set(load.durations) == set(PHASES)


def test_the_table_is_in_milliseconds() -> None:
    rows = latency_rows({"before": Spread(0.001, 0.0025, 0.1)}, {"before": [0.0] * 1_234})
    assert rows == [("before", "1,234", "1.00", "2.50", "100.00")]
