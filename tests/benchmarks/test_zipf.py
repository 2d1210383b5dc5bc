from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.mixes.zipf import CONSTANT, Zipf, scattered, zeta

DRAWS = 200_000


def test_the_first_two_ranks_come_as_often_as_the_law_says() -> None:
    # The algorithm gives these two exactly and the others by an approximation.
    for count in (10, 1_000, 100_000):
        found = Counter(Zipf(count).ranks(DRAWS, seed=1))
        for rank in (0, 1):
            expected = DRAWS / (rank + 1) ** CONSTANT / zeta(count)
            assert found[rank] == pytest.approx(expected, rel=0.03)


def test_shares_of_the_most_popular_ranks_are_near_what_the_law_says() -> None:
    count = 10_000
    ranks = Zipf(count).ranks(DRAWS, seed=2)
    for most in (10, 100, 1_000, 5_000):
        share = sum(rank < most for rank in ranks) / DRAWS
        assert share == pytest.approx(zeta(most) / zeta(count), abs=0.02)
    assert min(ranks) == 0
    assert max(ranks) < count


def test_the_same_seed_gives_the_same_ranks_and_another_gives_others() -> None:
    assert Zipf(1_000).ranks(100, seed=3) == Zipf(1_000).ranks(100, seed=3)
    assert Zipf(1_000).ranks(100, seed=3) != Zipf(1_000).ranks(100, seed=4)


def test_scattered_numbers_are_those_of_fnv_1a() -> None:
    # Published hashes of shorter texts, taken on over the zero bytes that a number of 8 bytes ends with.
    published = {b"": 0xCBF29CE484222325, b"a": 0xAF63DC4C8601EC8C, b"foobar": 0x85944171F73967E8}
    for text, found in published.items():
        zeros = 8 - len(text)
        assert scattered(int.from_bytes(text, "little")) == found * 0x100000001B3**zeros % 2**64


def test_scattered_neighbours_spread_evenly() -> None:
    found = Counter(scattered(number) % 10 for number in range(10_000))
    assert min(found.values()) > 850
    assert max(found.values()) < 1_150
