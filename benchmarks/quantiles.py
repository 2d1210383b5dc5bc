"""Median, 99th percentile and maximum of many durations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Seconds."""

    p50: float
    p99: float
    max: float


def spread_of(weighted: Iterable[tuple[float, int]]) -> Spread:
    """The spread of durations, each with how many had it, by nearest rank."""
    ordered = sorted(weighted)
    total = sum(weight for _, weight in ordered)
    if not total:
        raise ValueError("nothing was measured; give it more seconds")
    return Spread(_ranked(ordered, total, 0.50), _ranked(ordered, total, 0.99), ordered[-1][0])


def _ranked(ordered: Sequence[tuple[float, int]], total: int, share: float) -> float:
    passed = 0
    for duration, weight in ordered:
        passed += weight
        if passed >= share * total:
            return duration
    return ordered[-1][0]
