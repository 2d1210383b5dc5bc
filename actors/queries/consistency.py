"""How fresh a read has to be: one position from `consistency=`, `after=` and `max_lag=`. Pure; any thread."""

from __future__ import annotations

import math
from datetime import timedelta

from actors.errors import ForeignToken, InvalidToken
from actors.queries.options import After, Consistency, MaxLag
from actors.queries.session_token import SessionTokens
from actors.receipt import Receipt
from actors.replication.progress import Progress
from storage.value_text import short_repr

__all__ = ["MAX_POSITION", "position_of", "target_position"]

MAX_POSITION = (1 << 63) - 1
"""No log, stream or list is longer. A larger position or number is a mistake, and could not be stored."""


def position_of(after: After, option: str = "after", tokens: SessionTokens | None = None) -> int:
    """The position of a receipt, of a position itself or, if `tokens` are given, of a token.

    Raises `ValueError` that names the `option`, and what `SessionTokens.position` does.
    """
    if isinstance(after, Receipt):
        return after.position
    if tokens is not None and isinstance(after, str):
        try:
            return tokens.position(after)
        except ForeignToken:
            raise
        except InvalidToken as error:
            raise InvalidToken(f"{option}={error}") from None
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= MAX_POSITION:
        kinds = "a receipt or a position from 0 on"
        if tokens is not None:
            kinds = "a receipt, a position from 0 on or a session token"
        raise ValueError(f"{option}= takes {kinds}, got {short_repr(after)}")
    return after


def target_position(
    progress: Progress,
    consistency: Consistency = "eventual",
    after: After | None = None,
    max_lag: MaxLag | None = None,
    tokens: SessionTokens | None = None,
) -> int:
    """The position that each model that is read has to have applied; 0 or less if any will do.

    `strong` is everything committed before this call; `max_lag` is positions when it is an
    int, and seconds since the commit of the oldest event not applied when it is a float or
    a timedelta, both as of this call. Given together, the strictest holds.
    """
    target = 0
    if consistency == "strong":
        target = progress.latest_head()
    elif consistency != "eventual":
        raise ValueError(f"consistency= is 'eventual' or 'strong', got {short_repr(consistency)}")
    if after is not None:
        target = max(target, position_of(after, "after", tokens))
    if max_lag is not None:
        if isinstance(max_lag, timedelta):
            max_lag = max_lag.total_seconds()
        # Not a number compares as false.
        if isinstance(max_lag, bool) or not isinstance(max_lag, int | float) or not max_lag >= 0:
            raise ValueError(
                f"max_lag= is positions (int) or seconds (float, timedelta), not {short_repr(max_lag)}"
            )
        if isinstance(max_lag, int):
            target = max(target, progress.head - max_lag)
        elif max_lag < math.inf:
            target = max(target, progress.position_before(max_lag))
    return target
