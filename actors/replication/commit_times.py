"""When each position was committed, as far back as is remembered: what lag in seconds is reckoned from.

Knows no thread: its owner calls it under a lock.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import deque

__all__ = ["CommitTimes"]

REMEMBERED_COMMITS = 20_000


class CommitTimes:
    """The times of the last commits, on the monotonic clock."""

    def __init__(self, head: int) -> None:
        """`head` is the last position at opening; what is committed by then counts as old."""
        self._commits: deque[tuple[float, int]] = deque([(-math.inf, head)], REMEMBERED_COMMITS)
        self._opened = time.monotonic()

    def note(self, last: int) -> None:
        """Everything up to `last` was committed just now."""
        self._commits.append((time.monotonic(), last))

    def position_before(self, seconds: float) -> int:
        """The last position that was committed at least `seconds` ago."""
        index = bisect_left(self._commits, (time.monotonic() - seconds, 1 << 64))
        # Before the oldest one remembered: its position asks for more than was promised, never for less.
        return self._commits[max(index - 1, 0)][1]

    def seconds_since(self, position: int) -> float:
        """Seconds since the commit of the oldest event after `position`, of which there is one."""
        commits = self._commits
        low, high = 0, len(commits)
        while low < high:
            middle = (low + high) // 2
            if commits[middle][1] <= position:
                low = middle + 1
            else:
                high = middle
        committed = commits[min(low, len(commits) - 1)][0]
        # What was committed before this process began counts from the opening.
        return time.monotonic() - max(committed, self._opened)
