from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.baseline import BETTER, NEW, SAME, WORSE, Baseline, Compared, below, compared
from benchmarks.quick.__main__ import comparison_table
from benchmarks.quick.__main__ import main as quick
from benchmarks.quick.measure import AMOUNTS, ENTRIES, YARDSTICKS, measure


@pytest.mark.parametrize(
    ("now", "then", "verdict"),
    [
        ([1.1, 1.2, 1.3], [0.8, 0.9, 1.0], BETTER),
        ([0.8, 0.9, 1.0], [1.1, 1.2, 1.3], WORSE),
        ([0.8, 0.9, 1.15], [1.1, 1.2, 1.3], SAME),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], SAME),
        ([1.0], [], NEW),
    ],
)
def test_a_figure_differs_only_where_the_spreads_are_apart(
    now: list[float], then: list[float], verdict: str
) -> None:
    assert Compared("one", now, then).verdict == verdict


def test_one_disturbed_round_of_seven_hides_no_change() -> None:
    then = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06]
    assert Compared("one", [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 1.015], then).verdict == WORSE
    assert Compared("one", [0.9, 0.91, 0.92, 0.93, 0.94, 1.05, 1.05], then).verdict == SAME


def test_a_change_is_that_of_the_medians() -> None:
    assert Compared("one", [1.0, 3.0, 2.0], [4.0, 4.0, 9.0]).change == 0.5
    assert Compared("one", [1.0]).change is None


def test_figures_that_are_worse_by_less_than_the_share_do_not_count_as_below() -> None:
    found = compared({"much": [0.5], "little": [0.9], "new": [0.1]}, {"much": [1.0], "little": [1.0]})
    assert [one.key for one in below(found, 0.8)] == ["much"]
    assert [one.key for one in below(found, 0.95)] == ["much", "little"]


def test_a_baseline_is_kept_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    baseline = Baseline({"disk": "fast"}, {"rounds": 2}, {"one": [0.123456, 2.0]})
    baseline.save(path)
    assert Baseline.load(path) == Baseline({"disk": "fast"}, {"rounds": 2}, {"one": [0.1235, 2.0]})


@pytest.mark.parametrize("content", ["", "[]", '{"figures": {}}'])
def test_a_file_that_is_no_baseline_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is no baseline"):
        Baseline.load(path)


def test_the_table_shows_a_figure_now_and_then() -> None:
    key = "commands/onewriter-tasks"
    table = comparison_table([Compared(key, [0.4, 0.5], [0.2, 0.2])], {key: [20_000.0, 30_000.0]})
    assert table.splitlines()[-1] == (
        "| onewriter, 3 replicas: aexecute, tasks, 1,000 callers | 25,000 | 0.45 (0.40 to 0.50) "
        "| 0.20 (0.20 to 0.20) | +125 % | better |"
    )


def test_every_figure_has_its_entry_and_its_amount() -> None:
    keys = {*YARDSTICKS, *(key for held in YARDSTICKS.values() for key in held)}
    assert keys == set(AMOUNTS)
    assert keys <= set(ENTRIES)


def test_the_key_figures_can_be_saved_and_compared_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is said of the disk is no figure.
    monkeypatch.setattr(machine, "fsync_seconds", partial(machine.fsync_seconds, count=5))
    options = ["--small", "--only", "many", "--dir", str(tmp_path)]
    saved = tmp_path / "saved.json"
    assert quick([*options, "--save", str(saved)]) == 0
    ratios = Baseline.load(saved).ratios
    assert set(ratios) == {"commands/onewriter-many", "queries/onewriter-many"}
    assert all(len(found) == 1 and found[0] > 0 for found in ratios.values())
    capsys.readouterr()

    # A millionth of what it was: no noise does that.
    Baseline({}, {}, {key: [1e6 * found[0]] for key, found in ratios.items()}).save(saved)
    assert quick([*options, "--baseline", str(saved)]) == 0
    assert "better: 0, same: 0, worse: 2" in capsys.readouterr().out
    assert quick([*options, "--baseline", str(saved), "--fail-below", "0.5"]) == 1


def test_no_round_begins_that_would_end_too_late_but_the_first(tmp_path: Path) -> None:
    keys = ["queries/onewriter-view"]
    assert len(measure(keys, folder=tmp_path, rounds=3, seconds=0.0, share=0.01).ratios[keys[0]]) == 1
    assert len(measure(keys, folder=tmp_path, rounds=2, seconds=600.0, share=0.01).ratios[keys[0]]) == 2
