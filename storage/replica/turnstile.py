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

LOOK_AGAIN = 0.5
"""Seconds after which a waiter looks for itself: another one may have been interrupted when it had come through."""

T = TypeVar("T")


class Turnstile:
    """The one of a replica in the directory `path`. Taken before all of the replica's other locks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # never held while anything is waited for
        self._turn: threading.Lock | None = None
        """The turn of the reader that has it, locked until its end. Whose it is tells who has it, also when interrupted."""

    def before_batch(self) -> None:
        """Wait for readers whose turn it is."""
        while (turn := self._turn) is not None:
            _await(turn, LOOK_AGAIN)

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
        """Raises TryAgain where it takes many batches until there is something to be read, StorageError after `end`."""
        mine = threading.Lock()
        mine.acquire()
        try:
            while not self._takes(mine):
                if (turn := self._turn) is not None:
                    _await(turn, min(self._left(end), LOOK_AGAIN))
            while True:
                try:
                    return attempt(waited)
                except TryAgain as busy:
                    if busy.refilling:
                        raise
                    waited = self._awaited(busy, end)
        finally:
            if self._turn is mine:
                self._turn = None
            mine.release()

    def _takes(self, mine: threading.Lock) -> bool:
        with self._lock:
            if self._turn is None:
                self._turn = mine
            return self._turn is mine

    def _awaited(self, busy: TryAgain, end: float) -> ModelStore:
        busy.store.await_readable(self._left(end))
        return busy.store

    def _left(self, end: float) -> float:
        """The seconds until `end`. Raises StorageError after it."""
        left = end - time.monotonic()
        if left < 0:
            raise StorageError(f"{self._path} could not be read at one moment in time; try again")
        return left


def _await(turn: threading.Lock, seconds: float) -> None:
    """Wait for the end of another's turn. Interrupted in between, it keeps the next waiter only until that looks again."""
    if turn.acquire(timeout=seconds):
        turn.release()
