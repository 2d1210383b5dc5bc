"""Turns of those who read data that a batch changes in place: none waits for ever though batch follows batch.

A batch passes the turnstile before it begins. Who came while one was at it waits for its end, and, where it was too late
then as well, with the turnstile held: the next batch begins after it. Any thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from storage.engines.base import ModelStore, TryAgain
from storage.errors import StorageError

__all__ = ["Turnstile"]

PATIENCE = 10.0
"""Seconds that a reader waits at most."""

T = TypeVar("T")


class Turnstile:
    """The one of a replica in the directory `path`. Taken before all of the replica's other locks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def before_batch(self) -> None:
        """Wait for readers whose turn it is."""
        with self._lock:
            pass

    def take(self, attempt: Callable[[ModelStore | None], T], end: float = math.inf) -> T:
        """What `attempt` returns once it does not raise TryAgain; it is told the store that was waited for.

        Waits until `end`, a monotonic time, or for `PATIENCE`. Raises StorageError after that, and what `attempt` does.
        """
        try:
            return attempt(None)
        except TryAgain as busy:
            end = min(end, time.monotonic() + PATIENCE)
            waited = self._awaited(busy, end)
        while True:
            try:
                return self._in_turn(attempt, waited, end)
            except TryAgain as busy:
                waited = self._awaited(busy, end)

    def _in_turn(self, attempt: Callable[[ModelStore | None], T], waited: ModelStore, end: float) -> T:
        """Raises TryAgain where it takes many batches until there is something to be read."""
        with self._lock:
            while True:
                try:
                    return attempt(waited)
                except TryAgain as busy:
                    if busy.refilling:
                        raise
                    waited = self._awaited(busy, end)

    def _awaited(self, busy: TryAgain, end: float) -> ModelStore:
        left = end - time.monotonic()
        if left < 0:
            raise StorageError(f"{self._path} could not be read at one moment in time; try again")
        busy.store.await_readable(left)
        return busy.store
