"""The keyword arguments of everything that reads, declared once for all the methods that take them."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypedDict

from actors.receipt import Receipt

__all__ = ["After", "Consistency", "MaxLag", "QueryOptions", "WatchOptions"]

Consistency = Literal["eventual", "strong"]
MaxLag = int | float | timedelta
After = Receipt | int | str


class WatchOptions(TypedDict, total=False):
    """Options of `watch`, and of everything else that reads: how fresh a result has to be.

    `consistency="strong"` sees everything committed before the call; `after=` a receipt, a position or a
    session's token sees that; `max_lag=` positions (int) or seconds (float, timedelta) bounds how far behind
    the result may be, as of the call. Together, the strictest holds.
    """

    consistency: Consistency
    after: After | None
    max_lag: MaxLag | None


class QueryOptions(WatchOptions, total=False):
    """Options of everything that reads but `watch`, which has a `timeout` of its own.

    `consistency`, `after` and `max_lag`: as `WatchOptions` says. `timeout`: seconds from the call, for
    finding a replica and for the result together; unless given the query class's own, which is 10 unless
    declared.
    """

    timeout: float
