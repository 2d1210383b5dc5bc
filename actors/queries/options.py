"""The keyword arguments of everything that reads, declared once for all the methods that take them."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypedDict

from actors.receipt import Receipt

__all__ = ["After", "Consistency", "MaxLag", "QueryOptions"]

Consistency = Literal["eventual", "strong"]
MaxLag = int | float | timedelta
After = Receipt | int | str


class QueryOptions(TypedDict, total=False):
    """Options of everything that reads.

    `consistency="strong"` sees everything committed before the call; `after=` a receipt, a
    position or a session's token sees that; `max_lag=` positions (int) or seconds (float,
    timedelta) bounds how far behind the answer may be, as of the call; together, the strictest
    holds. `timeout`: seconds from the call, for finding a replica and for the answer together; unless given
    the query class's own, which is 10 unless declared.
    """

    consistency: Consistency
    after: After | None
    max_lag: MaxLag | None
    timeout: float
