"""Figures of several rounds: what they spread over, and the ratio of two of them. Pure.

A ratio is taken within each round and then the median over the rounds: what drifts between rounds cancels
out.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LOWEST, HIGHEST = "/lowest", "/highest"
"""What the keys of a figure's spread end with."""


@dataclass(frozen=True)
class Range:
    """The middle one of several figures, and how far they lie apart."""

    median: float
    lowest: float
    highest: float

    def figures(self, key: str) -> dict[str, float]:
        """The same under three keys: `key`, and `key` with `/lowest` and `/highest`."""
        return {key: self.median, key + LOWEST: self.lowest, key + HIGHEST: self.highest}


def range_of(values: Iterable[float]) -> Range:
    """Of at least one figure."""
    found = sorted(values)
    return Range(statistics.median(found), found[0], found[-1])


def range_at(key: str, figures: Mapping[str, float]) -> Range | None:
    """The range that `Range.figures` made; a figure without a spread is its own. None if there is none."""
    median = figures.get(key)
    if median is None:
        return None
    return Range(median, figures.get(key + LOWEST, median), figures.get(key + HIGHEST, median))


def ratio_of(one: Mapping[int, float], other: Mapping[int, float]) -> Range | None:
    """Of two figures by round, over the rounds that both finished; None if there are none."""
    ratios = [value / other[number] for number, value in one.items() if number in other]
    return range_of(ratios) if ratios else None


def ratio_key(one: str, other: str) -> str:
    """The key of the ratio of two figures."""
    return f"{one} : {other}"
