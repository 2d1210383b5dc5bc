from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.lag.__main__ import lag_table
from benchmarks.lag.figures import lags
from benchmarks.lag.measure import Bench, Steady
from benchmarks.lag.plot import plot
from benchmarks.quantiles import Spread, spread_of


def test_each_position_lags_from_its_own_commit_to_the_batch_that_applied_it() -> None:
    commits = [(1.0, 2), (2.0, 5), (3.0, 6)]
    applied = [(1.5, 1), (2.5, 4), (4.0, 6)]
    assert list(lags(commits, applied, 0)) == [(0.5, 1), (1.5, 1), (0.5, 2), (2.0, 1), (1.0, 1)]


def test_positions_of_the_warm_up_do_not_count() -> None:
    assert list(lags([(1.0, 4), (2.0, 6)], [(3.0, 6)], 3)) == [(2.0, 1), (1.0, 2)]


def test_a_position_that_was_never_applied_is_no_lag_but_an_error() -> None:
    with pytest.raises(ValueError, match="position 3 was committed and never applied"):
        list(lags([(1.0, 3)], [(2.0, 2)], 0))


def test_quantiles_count_positions_and_not_batches() -> None:
    assert spread_of([(9.0, 1), (1.0, 98), (5.0, 1)]) == Spread(1.0, 5.0, 9.0)
    assert spread_of([(2.0, 1)]) == Spread(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="more seconds"):
        spread_of([])


def test_the_table_has_medians_over_the_rounds_and_the_worst_maximum() -> None:
    runs = [Steady(100.0, 99.0, 0.0, Spread(p50, p50 * 2, p50 * 3)) for p50 in (0.001, 0.009, 0.002)]
    assert lag_table({3: {25: runs}}).splitlines()[-1] == "| 3 | 25 % | 99 | 2.00 | 4.00 | 27.00 |"


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
        tmp_path / "lag.svg", (25, 80), {1: {25: Spread(0.001, 0.002, 0.003), 80: Spread(0.002, 0.004, 0.01)}}
    )
    assert (tmp_path / "lag.svg").read_text().startswith("<?xml")
