"""How much goes into one commit. Pure; `CommandHandler` asks, which gathers the batch and ends it.

Whatever waits when the writer looks is one batch: an idle system commits each command at once, and the longer
the disk takes, the more commands share the next commit. Under load one more bound is needed. A batch as large
as the mailbox would have its first command wait for the last one's decider, though a small part of it would
have hidden the wait for the disk just as well. So a batch ends once deciding has taken `SHARE` times what the
disk takes.
"""

from __future__ import annotations

__all__ = ["MAX_BATCH", "BatchTimeBudget"]

MAX_BATCH = 1_000
"""Commands in one transaction at most."""

SHARE = 10
"""The wait for the disk adds a tenth to the time of a batch, and most of that passes while callers work."""

SHORTEST, LONGEST = 0.001, 0.05
"""Seconds: on a disk that says yes at once, and on one that hangs."""

CHECKED_EVERY = 16
"""Commands between two looks at the clock."""

WEIGHT = 0.2
"""Of the newest commit in the mean."""


class BatchTimeBudget:
    """The time that deciding one batch may take, from how long the disk took for those before it."""

    def __init__(self) -> None:
        self._disk = SHORTEST / SHARE

    def committed(self, seconds: float) -> None:
        """Note how long a commit waited for the disk."""
        self._disk += (seconds - self._disk) * WEIGHT

    @property
    def seconds(self) -> float:
        """How long the next batch may be decided."""
        return min(max(self._disk * SHARE, SHORTEST), LONGEST)
