from __future__ import annotations

from math import ceil
from random import Random

import pytest

from benchmarks.histogram import Histogram, bucket_of, upper_end

SHARES = (0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)


def test_quantiles_agree_with_sorted_data_to_a_hundredth() -> None:
    random = Random(7)
    durations = [random.lognormvariate(-8, 2) for _ in range(20_000)]
    ordered = sorted(durations)
    right = [ordered[max(ceil(share * len(ordered)) - 1, 0)] for share in SHARES]
    assert Histogram(durations).quantiles(SHARES) == pytest.approx(right, rel=0.01, abs=2e-9)


def test_the_highest_duration_and_the_number_are_exact() -> None:
    histogram = Histogram([0.001, 0.123456789123, 0.002])
    assert histogram.max == histogram.quantile(1) == 0.123456789123
    assert histogram.total == 3


def test_buckets_have_no_gap_and_do_not_overlap() -> None:
    last = -1
    for value in [
        *range(2_000),
        *(1 << bits for bits in range(11, 40)),
        *((1 << bits) - 1 for bits in range(12, 40)),
    ]:
        bucket = bucket_of(value / 1e9 + 1e-10)
        end = round(upper_end(bucket) * 1e9)
        assert end >= value
        assert end - value <= max(value / 128, 0)
        if value < 2_000:
            assert bucket in (last, last + 1)
            last = bucket


def test_merged_histograms_are_as_one_that_counted_all() -> None:
    both, one, other = Histogram([0.1, 0.2, 0.3, 0.4]), Histogram([0.1, 0.4]), Histogram([0.3, 0.2])
    one.merge(other)
    assert one.quantiles(SHARES) == both.quantiles(SHARES)
    assert (one.total, one.max) == (4, 0.4)


def test_nothing_recorded_has_no_quantile_and_no_duration_is_negative() -> None:
    with pytest.raises(ValueError, match="more seconds"):
        Histogram().quantile(0.5)
    with pytest.raises(ValueError, match="-1"):
        Histogram([-1.0])
