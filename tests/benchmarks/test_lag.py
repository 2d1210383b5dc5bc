from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.aims import AIMS
from benchmarks.cores import POSSIBLE
from benchmarks.durations import Spread
from benchmarks.lag.figures import lags
from benchmarks.lag.measure import Bench, Steady
from benchmarks.lag.plot import plot
from benchmarks.lag.section import WAYS, section_of


def test_each_position_lags_from_its_own_commit_to_the_batch_that_applied_it() -> None:
    commits = [(1.0, 2), (2.0, 5), (3.0, 6)]
    applied = [(1.5, 1), (2.5, 4), (4.0, 6)]
    assert list(lags(commits, applied, 0)) == [(0.5, 1), (1.5, 1), (0.5, 2), (2.0, 1), (1.0, 1)]


def test_positions_of_the_warm_up_do_not_count() -> None:
    assert list(lags([(1.0, 4), (2.0, 6)], [(3.0, 6)], 3)) == [(2.0, 1), (1.0, 2)]


def test_a_position_that_was_never_applied_is_no_lag_but_an_error() -> None:
    with pytest.raises(ValueError, match="position 3 was committed and never applied"):
        list(lags([(1.0, 3)], [(2.0, 2)], 0))


def test_the_table_has_medians_over_the_rounds_and_the_worst_maximum() -> None:
    runs = [Steady(100.0, 99.0, 0.0, Spread(p50, p50 * 2, p50 * 3)) for p50 in (0.001, 0.009, 0.002)]
    section = section_of({"process": {25: [(steady, 0.001) for steady in runs]}}, replicas=5)
    assert section.rows == [("processes", "25 %", "99", "2.00", "4.00", "27.00", "4.0")]
    assert section.text.startswith("5 replicas.")


def test_a_lag_is_told_in_fsyncs_of_its_own_round() -> None:
    runs = [Steady(100.0, 90.0, 0.0, Spread(0.001, p99, 0.5)) for p99 in (0.002, 0.009, 0.04)]
    by_load = {50: list(zip(runs, (0.001, 0.003, 0.01), strict=True))}
    section = section_of({"process": by_load}, replicas=3)
    assert section.rows == [("processes", "50 %", "90", "1.00", "9.00", "500.00", "3.0")]
    assert section.figures["lag/process/p99_in_fsyncs"] == pytest.approx(3.0)
    assert section.figures["lag/process/p99_in_fsyncs/highest"] == pytest.approx(4.0)
    assert section.figures["lag/process/p99_milliseconds"] == pytest.approx(9.0)


def test_the_lag_of_the_default_is_a_figure_that_an_aim_is_about() -> None:
    steady = Steady(100.0, 90.0, 0.0, Spread(0.001, 0.002, 0.5))
    figures = section_of({way: {50: [(steady, 0.001)]} for way in WAYS}, replicas=3).figures
    wanted = {key for aim in AIMS for key in aim.candidates.values() if key.startswith("lag/")}
    assert "lag/thread/p99_milliseconds" in wanted
    assert {key for key in wanted if POSSIBLE or "one-core" not in key} <= set(figures)


def test_a_system_is_measured_at_the_rate_that_was_asked_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 2)
    try:
        assert bench.highest_rate(200) > 0
        steady = bench.steady(400.0, 0.5)
    finally:
        bench.close()
    assert steady.rate == 400.0
    assert 0 < steady.sent <= 402
    assert 0 <= steady.lag.p50 <= steady.lag.p99 <= steady.lag.max


def test_the_plot_is_an_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(
        tmp_path / "lag.svg",
        (25, 80),
        {"in threads": {25: Spread(0.001, 0.002, 0.003), 80: Spread(0.002, 0.004, 0.01)}},
    )
    assert (tmp_path / "lag.svg").read_text().startswith("<?xml")
