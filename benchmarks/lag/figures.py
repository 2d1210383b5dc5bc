"""From when positions were committed and applied to how long each one took. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Step = tuple[float, int]
"""At this moment, in seconds, everything up to this position was done."""


@dataclass(frozen=True)
class Lag:
    """Seconds from a position's commit until a replica had applied it: over all positions and replicas."""

    p50: float
    p99: float
    max: float


def lags(commits: Sequence[Step], applied: Sequence[Step], after: int) -> Iterator[tuple[float, int]]:
    """Each lag on one replica with the number of positions that had it, for the positions after `after`.

    Both are in order, and the last commit is applied; positions applied twice count once.
    """
    done = iter(applied)
    moment, reached = next(done, (0.0, 0))
    for committed, last in commits:
        while after < last:
            while reached <= after:
                try:
                    moment, reached = next(done)
                except StopIteration:
                    raise ValueError(f"position {after + 1} was committed and never applied") from None
            until = min(last, reached)
            # A replica may have been told of a commit before the benchmark was.
            yield max(moment - committed, 0.0), until - after
            after = until


def lag_of(weighted: Iterable[tuple[float, int]]) -> Lag:
    """Median, 99th percentile and maximum of weighted lags, by nearest rank."""
    ordered = sorted(weighted)
    total = sum(weight for _, weight in ordered)
    if not total:
        raise ValueError("no position was measured; give it more seconds")
    return Lag(_ranked(ordered, total, 0.50), _ranked(ordered, total, 0.99), ordered[-1][0])


def _ranked(ordered: Sequence[tuple[float, int]], total: int, share: float) -> float:
    passed = 0
    for lag, weight in ordered:
        passed += weight
        if passed >= share * total:
            return lag
    return ordered[-1][0]
