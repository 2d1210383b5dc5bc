"""Whether rows that can't be decoded are a reason to reset a replica. Any thread; no lock: each step is one
assignment.

Such a row was damaged, or a class of what it holds has changed: a replica that is filled again from the log
has neither. What is left then is a class that refuses what it gave itself, and filling the replica again and
again would not help.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from actors.replication.progress import Progress

__all__ = ["AGAIN_AFTER", "RowDamage", "others_serve"]

AGAIN_AFTER = 3600.0
"""Seconds within which a replica is reset once for its rows."""


class RowDamage:
    """Of one replica, through all its resets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found = False
        self._healed_at: float | None = None
        self.others_serve: Callable[[], bool] = lambda: True
        """Whether queries have another replica meanwhile, or there is none at all. If all have such rows, as
        after a change of a class, they are filled one after another, and the last one goes on giving its
        other rows."""

    def needs_reset(self) -> bool:
        """Whether the replica is to be reset for a row. `note_reset` then knows what it was reset for."""
        if self._healed_at is not None and self._clock() - self._healed_at < AGAIN_AFTER:
            return False
        self._found = self.others_serve()
        return self._found

    def note_reset(self) -> None:
        """The replica has been reset, for whatever reason."""
        if self._found:
            self._found, self._healed_at = False, self._clock()


def others_serve(progress: Progress, replica: str) -> bool:
    """Whether another replica serves all models of this one, or there is none that has them all."""
    mine = progress.replicas[replica].keys()
    others = [on for name, on in progress.replicas.items() if name != replica and on.keys() >= mine]
    return not others or any(all(one.applied >= one.floor for one in on.values()) for on in others)
