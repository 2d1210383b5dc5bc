"""Time-outs in seconds, checked where a caller gives them. Pure; any thread."""

from __future__ import annotations

from typing import Any

from storage.value_text import short_repr

__all__ = ["MOST_SECONDS", "checked_timeout"]

MOST_SECONDS = 1e9
"""The longest time-out, some thirty years: clocks and locks take no more than a few of those."""


def checked_timeout(timeout: Any, method: str) -> None:
    """Raise `ValueError` for what is no number of seconds that `method` could wait."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout <= MOST_SECONDS:
        raise ValueError(
            f"{method}(timeout=) is a number of seconds from 0 to {MOST_SECONDS:,.0f}, not "
            f"{short_repr(timeout)}"
        )
