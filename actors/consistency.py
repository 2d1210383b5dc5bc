"""How fresh a read has to be: pure translation of `consistency=`, `after=` and `max_lag=` into one position."""

from __future__ import annotations

from datetime import timedelta

from actors.messages import Receipt
from actors.options import Consistency, MaxLag
from actors.progress import Progress

__all__ = ["position_of", "target_position"]


def position_of(after: Receipt | int, option: str = "after") -> int:
    """The position that a receipt, or a position itself, stands for; errors name the `option`."""
    if isinstance(after, Receipt):
        return after.position
    if isinstance(after, bool) or not isinstance(after, int) or after < 0:
        raise ValueError(f"{option}= takes a receipt or a position from 0 on, got {after!r}")
    return after


def target_position(
    progress: Progress,
    consistency: Consistency = "eventual",
    after: Receipt | int | None = None,
    max_lag: MaxLag | None = None,
) -> int:
    """The position that each model read has to have applied; 0 where any will do.

    `strong` is everything committed before this call; `max_lag` is positions when it is an
    int, and seconds since the commit of the oldest event not applied when it is a float or
    a timedelta. Given together, the strictest holds.
    """
    target = 0
    if consistency == "strong":
        target = progress.head
    elif consistency != "eventual":
        raise ValueError(f"consistency= is 'eventual' or 'strong', got {consistency!r}")
    if after is not None:
        target = max(target, position_of(after))
    if max_lag is not None:
        if isinstance(max_lag, timedelta):
            max_lag = max_lag.total_seconds()
        if isinstance(max_lag, bool) or not isinstance(max_lag, int | float) or not max_lag >= 0:
            raise ValueError(f"max_lag= is positions (int) or seconds (float, timedelta), not {max_lag!r}")
        if isinstance(max_lag, int):
            allowed = progress.head - max_lag
        else:
            allowed = progress.position_before(max_lag)
        target = max(target, allowed)
    return target
