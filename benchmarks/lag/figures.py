"""From when positions were committed and applied to how long each one took. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Step = tuple[float, int]
"""At this moment, in seconds, everything up to this position was done."""


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
            # A replica may be notified of a commit before the benchmark is.
            yield max(moment - committed, 0.0), until - after
            after = until
