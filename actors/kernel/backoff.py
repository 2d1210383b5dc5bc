"""How long to wait before something that failed is tried again: each time twice as long, up to a
limit. Pure.
"""

from __future__ import annotations

__all__ = ["backoff"]

DOUBLINGS = 64
"""More would be past any limit; and what fails for hours is counted past what a float holds."""


def backoff(first: float, last: float, doublings: int) -> float:
    """`first` seconds doubled so many times, at most `last`."""
    return min(first * 2.0 ** min(doublings, DOUBLINGS), last)
