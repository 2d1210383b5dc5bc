"""A histogram of durations in buckets that grow with the value: small, quickly merged, true to 0.8 % at any quantile.

The layout is that of Gil Tene's HdrHistogram: values below `2 * HALF` have a bucket each, and every doubling from
there on has `HALF` buckets of equal width. Pure; one thread records, histograms of several threads are merged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

HALF = 128
_BITS = HALF.bit_length()
NANOSECONDS = 1e9


class Histogram:
    """Durations in seconds, kept in nanoseconds; the highest and the number of them are exact."""

    __slots__ = ("_counts", "max", "total")

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._counts: Counter[int] = Counter()
        self.total = 0
        self.max = 0.0
        self.record_all(seconds)

    def record_all(self, seconds: Iterable[float]) -> None:
        """Count durations. Raises `ValueError` for one below 0: then a clock went back or a start was not that."""
        durations = list(seconds)
        if not durations:
            return
        if min(durations) < 0:
            raise ValueError(f"a duration of {min(durations)} seconds")
        self._counts.update(map(bucket_of, durations))
        self.total += len(durations)
        self.max = max(self.max, max(durations))

    def merge(self, other: Histogram) -> None:
        """Count what another has counted, too."""
        self._counts.update(other._counts)
        self.total += other.total
        self.max = max(self.max, other.max)

    def quantile(self, share: float) -> float:
        """The duration in seconds that this share of all did not exceed, by nearest rank; 1 gives the highest.

        Raises `ValueError` when nothing was recorded.
        """
        return self.quantiles((share,))[0]

    def quantiles(self, shares: Iterable[float]) -> list[float]:
        """Several quantiles at once; `shares` ascend."""
        if not self.total:
            raise ValueError("nothing was measured; give it more seconds")
        steps = self._steps()
        passed, upper = next(steps)
        found = []
        for share in shares:
            while passed < share * self.total:
                passed, upper = next(steps)
            found.append(min(upper, self.max))
        return found

    def _steps(self) -> Iterator[tuple[int, float]]:
        """How many durations lie up to the end of each bucket that is used, and that end."""
        passed = 0
        for bucket, count in sorted(self._counts.items()):
            passed += count
            yield passed, upper_end(bucket)


def bucket_of(seconds: float) -> int:
    """The number of the bucket of a duration; buckets ascend with durations."""
    value = int(seconds * NANOSECONDS)
    shift = max(value.bit_length() - _BITS, 0)
    return shift * HALF + (value >> shift)


def upper_end(bucket: int) -> float:
    """The end of a bucket in seconds."""
    shift = max(bucket // HALF - 1, 0)
    return float(((bucket - shift * HALF + 1) << shift) - 1) / NANOSECONDS
