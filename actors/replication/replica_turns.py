"""Replicas of one process that apply one at a time, as far as none takes long. The replicas' threads.

Two threads that project and write rows take the interpreter from each other at every call of LMDB, and are
not faster together than in turn.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["TURN_SECONDS", "ReplicaTurns"]

TURN_SECONDS = 0.05
"""Seconds after which a replica does not wait any longer: a projection that hangs keeps nobody else."""


class ReplicaTurns:
    """Shared by the replicas that take turns."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Apply inside the block, which begins when the others are done or take too long."""
        mine = self._turn.acquire(timeout=TURN_SECONDS)
        try:
            yield
        finally:
            if mine:
                self._turn.release()
