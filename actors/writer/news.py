"""When the replicas are told of commits. Pure; the writer's thread asks.

Every telling has its price: threads or processes wake, each replica begins and commits a transaction, and all of that
wants the interpreter or the processors that the next commit wants too. A writer that has nothing to do tells at once.
A busy one tells while it waits for the disk, and puts the news of several quick commits together, unless somebody
waits for them.
"""

from __future__ import annotations

from actors.messages import Committed

__all__ = ["LINGER", "News"]

LINGER = 0.0002
"""Seconds for which news is held back while callers come in quick succession, when none comes after all."""

QUICK = 0.002
"""Seconds between two batches up to which callers count as coming in quick succession."""

SPACING = 0.001
"""Seconds between two tellings of a busy writer."""

MOST = 1_000
"""Events that are held back at most."""


class News:
    """What is committed and not told yet. Times are in seconds of any clock."""

    def __init__(self) -> None:
        self._held: Committed | None = None
        self._told = 0.0
        self._last_batch = 0.0

    def add(self, committed: Committed) -> Committed | None:
        """Hold a commit back, together with those before it; returns what has to be told now instead of waiting."""
        held = self._held
        if held is None:
            self._held = committed
            return None
        if held.events is None or committed.events is None or len(held.events) > MOST:
            self._held = committed
            return held
        self._held = Committed(held.first, committed.last, [*held.events, *committed.events])
        return None

    def due(self, now: float, awaited: bool) -> bool:
        """Whether a writer that is about to wait for the disk should tell; `awaited` says that somebody waits for it."""
        return self._held is not None and (awaited or now - self._told >= SPACING)

    def quick(self, now: float) -> bool:
        """Whether another batch is likely to come at once; asked at the end of each."""
        quick, self._last_batch = now - self._last_batch < QUICK, now
        return quick

    def take(self, now: float) -> Committed | None:
        """What is held back, to be told now."""
        held, self._held = self._held, None
        if held is not None:
            self._told = now
        return held
