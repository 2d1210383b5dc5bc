from __future__ import annotations

import math
from collections import Counter

import pytest

from benchmarks.mixes.zipf import CONSTANT, Zipf, scattered

DRAWS = 200_000


def zeta(count: int) -> float:
    return math.fsum(rank**-CONSTANT for rank in range(1, count + 1))


@pytest.mark.parametrize("count", [10, 1_000, 100_000])
def test_ranks_come_as_often_as_the_law_says(count: int) -> None:
    found = Counter(Zipf(count).ranks(DRAWS, seed=1))
    for rank in range(5):
        expected = DRAWS / (rank + 1) ** CONSTANT / zeta(count)
        assert found[rank] == pytest.approx(expected, rel=0.05)


def test_shares_of_the_most_popular_ranks_are_what_the_law_says() -> None:
    count = 10_000
    ranks = Zipf(count).ranks(DRAWS, seed=2)
    for most in (10, 100, 1_000, 5_000):
        share = sum(rank < most for rank in ranks) / DRAWS
        assert share == pytest.approx(zeta(most) / zeta(count), abs=0.005)
    assert min(ranks) == 0
    assert max(ranks) < count


def test_the_same_seed_gives_the_same_ranks_and_another_gives_others() -> None:
    assert Zipf(1_000).ranks(100, seed=3) == Zipf(1_000).ranks(100, seed=3)
    assert Zipf(1_000).ranks(100, seed=3) != Zipf(1_000).ranks(100, seed=4)


def test_scattered_neighbours_spread_evenly_and_never_meet() -> None:
    numbers = [scattered(number) for number in range(10_000)]
    assert len(set(numbers)) == 10_000
    found = Counter(number % 10 for number in numbers)
    assert min(found.values()) > 850
    assert max(found.values()) < 1_150
