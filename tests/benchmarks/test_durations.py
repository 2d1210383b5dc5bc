from __future__ import annotations

from random import Random

import pytest

from benchmarks.durations import Durations, Spread

SHARES = (0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)


def test_a_quantile_is_the_least_duration_that_its_share_does_not_exceed() -> None:
    random = Random(7)
    seconds = [random.choice((random.lognormvariate(-8, 2), 0.001)) for _ in range(5_000)]
    for share, found in zip(SHARES, Durations(seconds).quantiles(SHARES), strict=True):
        assert sum(one <= found for one in seconds) >= share * len(seconds)
        assert sum(one < found for one in seconds) < max(share * len(seconds), 1)


def test_merged_durations_are_as_if_one_had_counted_all() -> None:
    both, one, other = Durations([0.1, 0.2, 0.3, 0.4]), Durations([0.1, 0.4]), Durations([0.3, 0.2])
    one.merge(other)
    assert one.quantiles(SHARES) == both.quantiles(SHARES)
    assert len(one) == 4


def test_a_duration_counts_as_often_as_it_was_met() -> None:
    durations = Durations()
    for seconds, times in ((9.0, 1), (1.0, 98), (5.0, 1)):
        durations.record(seconds, times)
    assert durations.spread == Spread(1.0, 5.0, 9.0)
    assert Durations([2.0]).spread == Spread(2.0, 2.0, 2.0)


def test_nothing_recorded_has_no_quantile_and_no_duration_is_negative() -> None:
    durations = Durations()
    with pytest.raises(ValueError, match="more seconds"):
        durations.quantiles((0.5,))
    with pytest.raises(ValueError, match="-1"):
        durations.record_all([1.0, -1.0])
    assert len(durations) == 0
