"""Many durations, and their quantiles by nearest rank.

All are kept, eight bytes each, so that every quantile is exact.

One thread records; the durations of several threads are merged.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from math import ceil


@dataclass(frozen=True)
class Spread:
    """Median, 99th percentile and maximum, in seconds."""

    p50: float
    p99: float
    max: float


class Durations:
    """Seconds, in no order."""

    __slots__ = ("_all",)

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._all = array("d")
        self.record_all(seconds)

    def __len__(self) -> int:
        return len(self._all)

    def record(self, seconds: float, times: int = 1) -> None:
        """Count one duration, or as many of it. Raises `ValueError` for one below 0: a clock went back."""
        self.record_all(repeat(seconds, times))

    def record_all(self, seconds: Iterable[float]) -> None:
        """Count durations, all of them or none. Raises as `record` does."""
        more = array("d", seconds)
        if more and min(more) < 0:
            raise ValueError(f"a duration of {min(more)} seconds")
        self._all += more

    def merge(self, other: Durations) -> None:
        """Count what another has counted, too."""
        self._all += other._all

    def quantiles(self, shares: Iterable[float]) -> list[float]:
        """For each share the duration that this share of all did not exceed; 1 gives the longest.

        Raises `ValueError` when nothing was recorded.
        """
        if not self._all:
            raise ValueError("nothing was measured; give it more seconds")
        ordered = sorted(self._all)
        return [ordered[max(ceil(share * len(ordered)) - 1, 0)] for share in shares]

    @property
    def spread(self) -> Spread:
        """Raises `ValueError` when nothing was recorded."""
        return Spread(*self.quantiles((0.5, 0.99, 1)))
